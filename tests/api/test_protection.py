"""What browsers are told with every answer, and what a keyless service tells other sites."""

import re

import httpx
import pytest

from tests.raw import connect, read_answer, status_of
from tests.service import ROOT


def test_every_answer_tells_browsers_what_not_to_do(client: httpx.Client) -> None:
    for method, path, status in (
        ("GET", "/healthz", 200),
        ("GET", "/nowhere", 404),
        ("POST", "/detect", 422),
        ("GET", "/openapi.json", 200),
    ):
        answer = client.request(method, path)
        assert answer.status_code == status
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; frame")


def test_the_documentation_loads_nothing_from_elsewhere(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    allowed = {part.split()[0]: part.split()[1:] for part in policy.split(";") if part.strip()}
    assert allowed["script-src"] == allowed["style-src"] == allowed["connect-src"] == ["'self'"]
    assert allowed["default-src"] == allowed["frame-ancestors"] == ["'none'"]
    assert client.get("/redoc").status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
@pytest.mark.parametrize("path", ["/persons", "/healthz", "/metrics", "/openapi.json"])
def test_a_web_page_cannot_use_a_service_without_keys(
    client: httpx.Client, path: str, headers: dict[str, str]
) -> None:
    refused = client.get(path, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "cross_site")
    assert "access-control-allow-origin" not in refused.headers


def test_a_body_that_was_refused_unread_does_not_poison_the_connection(
    client: httpx.Client,
) -> None:
    """The refused body is a request itself, and must not be taken for one."""
    body = b"GET /models HTTP/1.1\r\nHost: localhost\r\n\r\n"
    head = f"POST /detect HTTP/1.1\r\nHost: evil\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with connect(str(client.base_url)) as connection:
        connection.sendall(head)
        assert status_of(read_answer(connection)) == 403
        connection.sendall(body + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = read_answer(connection)
    assert status_of(answer) == 200
    assert answer.endswith(b'{"status":"ok"}')


def test_no_module_that_serves_fetches_anything() -> None:
    """Only what an operator types goes out: fetching a pack, asking a service, moving people in."""
    out = re.compile(
        r"^\s*(import|from) "
        r"(urllib\.request|http\.client|httpx|requests|aiohttp|rollcall_client)\b",
        re.M,
    )
    seen = 0
    for path in (ROOT / "app").rglob("*.py"):
        place = path.relative_to(ROOT / "app")
        if place.parts[0] != "commands" and place.name != "packs.py":
            assert not out.search(path.read_text()), path
            seen += 1
    assert seen > 100
