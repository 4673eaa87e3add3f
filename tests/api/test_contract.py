"""What every operation keeps to: documented errors, documented routes, metrics, limits."""

import base64
import re
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

import app.__main__
import app.main
from app.api.problems import STATUS, status_of
from app.errors import CannotStart, RollcallError
from app.settings import Settings
from tests.service import ROOT

app.__main__.parser()  # of all commands: with the service it loads every room, and every error


def family(root: type[RollcallError]) -> list[type[RollcallError]]:
    below = [each for child in root.__subclasses__() for each in family(child)]
    return [root, *below]


ERRORS = [
    error
    for error in family(RollcallError)
    if error is not RollcallError and error.__module__.startswith("app.")
]
SERVED = [error for error in ERRORS if not issubclass(error, CannotStart)]


@pytest.mark.parametrize("error", SERVED, ids=lambda error: error.__name__)
def test_every_error_finds_a_status(error: type[RollcallError]) -> None:
    assert any(each in STATUS for each in error.__mro__)
    assert 400 <= status_of(error("x")) < 600 if error.__init__ is RollcallError.__init__ else True


def test_every_code_is_in_the_documentation_and_none_is_made_up() -> None:
    table = (ROOT / "docs" / "errors.md").read_text().split("\n## ")[0]
    documented = set(re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE))
    assert documented == {error.code for error in ERRORS} | {"internal"}


def test_the_readme_names_every_operation(client: httpx.Client) -> None:
    readme = (ROOT / "README.md").read_text() + (ROOT / "docs" / "api.md").read_text()
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        for method in operations:
            spoken = f"{method.upper()} {path}"
            assert re.sub(r"{\w+_id}", "{id}", spoken) in readme.replace("`", ""), spoken


def test_errors_of_every_operation_are_problem_details(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert "Problem" in document["components"]["schemas"]
    for path, operations in document["paths"].items():
        if path in ("/healthz", "/readyz", "/metrics"):
            continue
        for operation in operations.values():
            content: dict[str, Any] = operation["responses"]["422"]["content"]
            assert list(content) == ["application/problem+json"], path


def test_a_body_that_is_too_large_is_refused_while_it_streams(client: httpx.Client) -> None:
    sent = 0

    def endless() -> Any:
        nonlocal sent
        while sent < 1 << 30:
            sent += 1 << 20
            yield b"x" * (1 << 20)

    try:
        answer = client.post(
            "/detect", content=endless(), headers={"Content-Type": "application/json"}
        )
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    except httpx.WriteError:
        pass  # refused and closed before all was sent, which is what is wanted
    assert sent < 1 << 29


def test_a_body_that_promises_to_be_too_large_is_refused_unread(client: httpx.Client) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 80)) as raw:
        raw.sendall(
            b"POST /detect HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000000\r\n\r\n"
        )
        assert raw.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_an_image_that_is_too_large_is_named(client: httpx.Client, hanks: bytes) -> None:
    answer = client.post("/detect", files={"image": hanks + b"\0" * 10_000_000})
    assert (answer.status_code, answer.json()["code"]) == (413, "image_too_large")
    assert answer.json()["image"] == "image"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"--x\r\nhalf a form", "multipart/form-data; boundary=x"),
        (b"form", "multipart/form-data"),
        (b"a=b", "application/x-www-form-urlencoded"),
        (b"", "text/plain"),
    ],
)
def test_a_broken_body_is_a_clear_4xx(client: httpx.Client, content: bytes, kind: str) -> None:
    answer = client.post("/identify", content=content, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    "fields",
    [
        '"threshold": "0.5"',
        '"threshold": true',
        '"top_k": "3"',
        '"top_k": false',
        f'"min_revision": {"1" * 5000}',
    ],
    ids=lambda fields: fields[:25],
)
def test_a_value_of_another_type_is_refused_in_json(
    client: httpx.Client, hanks: bytes, fields: str
) -> None:
    image = base64.b64encode(hanks).decode()
    answer = client.post(
        "/identify",
        content=f'{{"image": "{image}", {fields}}}',
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    "wish",
    [
        '"metadata": "{}"',
        '"expires_at": 4102444800',
        '"expires_at": "4102444800"',
        '"expires_at": "2100-01-01"',
        f'"metadata": {{"a": {"1" * 5000}}}',
    ],
    ids=lambda wish: wish[:25],
)
def test_a_person_is_not_changed_by_a_value_of_another_type(
    client: httpx.Client, collection: str, hanks: bytes, wish: str
) -> None:
    files, data = {"images": hanks}, {"collection": collection}
    person = client.post("/enroll", files=files, data=data).json()["person"]["id"]
    kind = {"Content-Type": "application/json"}
    answer = client.patch(f"/persons/{person}", content=f"{{{wish}}}", headers=kind)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


def test_the_same_values_are_read_from_the_text_of_a_form(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    told = {"collection": collection, "metadata": '{"a": 1}', "expires_at": "2100-01-01T00:00:00Z"}
    answer = client.post("/enroll", files={"images": hanks}, data=told)
    assert answer.json()["person"]["metadata"] == {"a": 1}
    asked = {"collection": collection, "threshold": "0.5", "top_k": "3"}
    found = client.post("/identify", files={"image": hanks}, data=asked)
    assert (found.status_code, found.json()["threshold"]) == (200, 0.5)


@pytest.mark.parametrize(
    ("method", "path", "taken"),
    [
        ("PUT", "/collections", "GET, POST"),
        ("POST", "/collections/a", "DELETE, GET"),
        ("POST", "/persons/a", "DELETE, GET, PATCH"),
        ("GET", "/keys/a/rotate", "POST"),
        ("POST", "/healthz", "GET"),
    ],
)
def test_a_method_that_is_not_taken_hears_of_all_that_are(
    client: httpx.Client, method: str, path: str, taken: str
) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, taken)
    assert answer.json()["code"] == "method_not_allowed"


def test_metrics_tell_of_requests_stages_queues_and_galleries(
    client: httpx.Client, collection: str, hanks: bytes
) -> None:
    client.post("/enroll", files={"images": hanks}, data={"collection": collection})
    client.post("/identify", files={"image": hanks}, data={"collection": collection})
    text = client.get("/metrics").text
    for line in (
        'rollcall_request_seconds_count{method="POST",route="/identify",status="200"}',
        'rollcall_stage_seconds_count{stage="detect"}',
        'rollcall_stage_seconds_count{stage="search"}',
        'rollcall_queue_depth{queue="look"} 0.0',
        f'rollcall_gallery_templates{{collection="{collection}"}} 1.0',
        f'rollcall_gallery_revision{{collection="{collection}"}} 1.0',
        f'rollcall_gallery_lag{{collection="{collection}"}} 0.0',
        "process_resident_memory_bytes",
    ):
        assert line in text, line


def test_models_tell_licences_and_providers(client: httpx.Client) -> None:
    [model] = client.get("/models").json()["models"]
    assert model["providers"] == ["CPUExecutionProvider"]
    assert model["detector"] == "centerface"
    assert model["licence"]
    assert model["default"] is True


def test_no_module_of_the_service_imports_torch() -> None:
    for path in Path(ROOT / "app").rglob("*.py"):
        assert not re.search(r"^\s*(import|from) (torch|models)\b", path.read_text(), re.MULTILINE)


def test_the_settings_page_is_what_the_settings_say() -> None:
    page = (ROOT / "docs" / "settings.md").read_text()
    for name, field in Settings.model_fields.items():
        assert field.description, name
        row = re.search(rf"^\| `ROLLCALL_{name.upper()}` \|.*$", page, re.MULTILINE)
        assert row, name
        assert field.description.replace("|", "\\|") in row[0], name
