"""What is true of the console's files without a browser."""

import re
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from app.api.console import FILES, REFERENCE
from tests.service import Service

ALL = sorted(FILES.iterdir())


@pytest.fixture
def page_types() -> dict[str, str]:
    return {
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
    }


def test_every_file_is_served_with_its_type_and_a_strict_policy(
    client: httpx.Client, page_types: dict[str, str]
) -> None:
    for address, path in [("/", FILES / "index.html"), ("/docs", FILES / "reference.html")] + [
        (f"/console/{each.name}", each) for each in ALL
    ]:
        answer = client.get(address)
        assert answer.content == path.read_bytes(), address
        assert answer.headers["content-type"] == page_types[path.suffix]
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["permissions-policy"].startswith("camera=(self)")
        assert answer.headers["x-content-type-options"] == "nosniff"
        [policy] = answer.headers.get_list("content-security-policy")
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert rules == {
            "default-src": "'none'", "script-src": "'self'", "style-src": "'self'",
            "img-src": "'self' blob: data:", "connect-src": "'self'", "form-action": "'none'",
            "frame-ancestors": "'none'", "base-uri": "'none'",
        }  # fmt: skip


def test_what_a_browser_has_already_is_not_sent_again(client: httpx.Client) -> None:
    tag = client.get("/console/main.js").headers["etag"]
    again = client.get("/console/main.js", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/console/main.js", headers={"If-None-Match": '"x"'}).status_code == 200


def test_only_what_lies_there_is_served(client: httpx.Client) -> None:
    for path in ("/console/", "/console/nothing.js", "/console/..%2fmain.py", "/console/%2e%2e"):
        assert client.get(path).status_code == 404, path
    for method in ("POST", "DELETE"):
        assert client.request(method, "/docs").status_code == 405
    head = client.head("/")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) == (FILES / "index.html").stat().st_size


def test_it_can_be_switched_off_and_the_reference_stays_and_asks_for_no_key(
    serve: Callable[..., Service],
) -> None:
    with serve(ROLLCALL_CONSOLE="false", ROLLCALL_REQUIRE_KEYS="true").client() as client:
        assert client.get("/collections").status_code == 401
        assert client.get("/").status_code == 404
        assert client.get("/console/main.js").status_code == 404
        page = client.get("/docs")
        assert page.status_code == 200
        for name in parts_of("reference.html"):
            assert client.get(f"/console/{name}").status_code == 200, name


def parts_of(name: str, seen: set[str] | None = None) -> set[str]:
    """Every file that a page loads, one after the other."""
    seen = set() if seen is None else seen
    text = (FILES / name).read_text()
    for each in re.findall(r'(?:/console/|from "\./)([\w.-]+)"', text):
        if each not in seen:
            seen.add(each)
            parts_of(each, seen)
    return seen


def test_every_file_is_used_and_every_used_file_is_there() -> None:
    used = parts_of("index.html") | parts_of("reference.html") | {"index.html", "reference.html"}
    assert used == {each.name for each in ALL}
    assert parts_of("reference.html") | {"reference.html"} == REFERENCE


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_no_file_reaches_out_or_makes_code_of_text(path: Path) -> None:
    text = path.read_text()
    for address in re.findall(r"(?:https?:)?//[\w.-]+\.\w+", text):
        assert address == "http://www.w3.org", f"{path.name} names {address}"
    for way in (
        "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "DOMParser", "eval(",
        "new Function", "localStorage", "document.cookie", "setAttribute(\"style\"", "srcdoc",
    ):  # fmt: skip
        assert way not in text, f"{path.name} uses {way}"
    if path.suffix == ".html":
        assert not re.search(r"\son\w+=|\sstyle=|<style|javascript:", text)
        assert all(" src=" in tag for tag in re.findall(r"<script[^>]*>", text))
    assert len(text.splitlines()) <= 300


def test_the_key_goes_into_one_header_and_nowhere_else() -> None:
    told = {
        each.name: re.findall(r".*session\.key.*", each.read_text())
        for each in ALL
        if each.suffix == ".js"
    }
    assert {name for name, lines in told.items() if lines} == {"api.js", "keys.js", "main.js"}
    [sent] = [line for line in told["api.js"] if "headers" in line]
    assert 'headers.set("Authorization", `Bearer ${session.key}`)' in sent
