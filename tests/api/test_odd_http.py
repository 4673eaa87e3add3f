"""Odd and hostile HTTP: a clear 4xx or a closed connection, one answer a request, never a 5xx."""

import json
from contextlib import suppress

import httpx
import pytest

from tests.raw import connect, read_to_end

HOST = b"Host: localhost\r\n"
CLOSE = b"Connection: close\r\n\r\n"
JSON = b"Content-Type: application/json\r\n"


def post(headers: bytes, body: bytes = b"{}") -> bytes:
    return b"POST /detect HTTP/1.1\r\n" + HOST + JSON + headers + b"\r\n" + body


# Two readings of where a body ends are how a second request is smuggled past a proxy.
AMBIGUOUS = {
    "two lengths": post(b"Content-Length: 2\r\nContent-Length: 3\r\n"),
    "two equal lengths": post(b"Content-Length: 2\r\nContent-Length: 2\r\n"),
    "a list of lengths": post(b"Content-Length: 2, 2\r\n"),
    "a length and chunks": post(
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n"
    ),
    "chunks and a length": post(
        b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", b"2\r\n{}\r\n0\r\n\r\n"
    ),
    "chunks twice over": post(b"Transfer-Encoding: chunked, chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n"),
    "chunks in disguise": post(b"Transfer-Encoding: xchunked\r\n", b"2\r\n{}\r\n0\r\n\r\n"),
    "chunks that are not last": post(
        b"Transfer-Encoding: chunked, identity\r\n", b"2\r\n{}\r\n0\r\n\r\n"
    ),
    "a negative length": post(b"Content-Length: -2\r\n"),
    "a signed length": post(b"Content-Length: +2\r\n"),
    "a hexadecimal length": post(b"Content-Length: 0x2\r\n"),
    "a length beyond 64 bits": post(b"Content-Length: 99999999999999999999999\r\n"),
    "a space before the colon": post(b"Content-Length : 2\r\n"),
    "a chunk size that is no number": post(b"Transfer-Encoding: chunked\r\n", b"zz\r\n{}\r\n"),
    "a chunk size beyond 64 bits": post(
        b"Transfer-Encoding: chunked\r\n", b"fffffffffffffffff\r\n{}\r\n"
    ),
    "a negative chunk size": post(b"Transfer-Encoding: chunked\r\n", b"-2\r\n{}\r\n"),
    "a chunk longer than its size": post(
        b"Transfer-Encoding: chunked\r\n", b"2\r\n{}xx\r\n0\r\n\r\n"
    ),
    "a folded header": post(b"X-Folded: one\r\n two\r\nContent-Length: 2\r\n"),
    "a length in a folded header": post(b"X-Folded: one\r\n Content-Length: 2\r\n\r\n"),
}

NOT_HTTP = {
    "a huge length": post(b"Content-Length: 9223372036854775807\r\n"),
    "NUL in a header": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-Nul: a\0b\r\n" + CLOSE,
    "NUL in a header's name": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X\0: a\r\n" + CLOSE,
    "NUL in the target": b"GET /heal\0thz HTTP/1.1\r\n" + HOST + CLOSE,
    "bytes beyond ASCII in the target": b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + CLOSE,
    "a bare carriage return": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: a\rX-B: b\r\n" + CLOSE,
    "a header without a colon": b"GET /healthz HTTP/1.1\r\n" + HOST + b"nonsense\r\n" + CLOSE,
    "a header of 1 MB": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 1_000_000 + b"\r\n",
    "a megabyte of headers": b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: a\r\n" * 125_000 + CLOSE,
    "a target of 1 MB": b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n" + HOST + CLOSE,
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/3.0": b"GET /healthz HTTP/3.0\r\n" + HOST + CLOSE,
    "an unknown method": b"FETCH /healthz HTTP/1.1\r\n" + HOST + CLOSE,
    "a method in lower case": b"get /healthz HTTP/1.1\r\n" + HOST + CLOSE,
    "TRACE": b"TRACE / HTTP/1.1\r\n" + HOST + CLOSE,
    "CONNECT": b"CONNECT localhost:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300),
    "nothing but spaces": b" " * 1000 + b"\r\n\r\n",
    "a websocket": b"GET /docs HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\n"
    b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n\r\n",
    "a hundred pipelined requests": b"GET /models HTTP/1.1\r\n%s\r\n" % HOST * 100,
}


def statuses(raw: bytes) -> list[int]:
    """Of every answer in `raw`, which holds whole answers only."""
    return [int(part[:3]) for part in raw.split(b"HTTP/1.1 ")[1:]]


def sent(url: httpx.URL, request: bytes) -> bytes:
    """What comes back for `request`; the sending side is closed after it."""
    with connect(str(url)) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before it was all sent
            connection.sendall(request)
        return read_to_end(connection)


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_two_readings_of_a_request_are_none(client: httpx.Client, name: str) -> None:
    smuggled = b"GET /models HTTP/1.1\r\n" + HOST + CLOSE
    answers = statuses(sent(client.base_url, AMBIGUOUS[name] + smuggled))
    assert answers in ([], [400]), "refused as a whole, and nothing behind it answered"
    assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("name", NOT_HTTP)
def test_what_is_no_plain_request_is_refused_or_cut_off(client: httpx.Client, name: str) -> None:
    answers = statuses(sent(client.base_url, NOT_HTTP[name]))
    assert all(status < 500 for status in answers), answers
    assert client.get("/healthz").status_code == 200


def test_a_header_of_a_megabyte_is_refused_long_before_its_end(client: httpx.Client) -> None:
    with connect(str(client.base_url)) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000)
        assert statuses(read_to_end(connection)) == [400]


def test_an_upgrade_is_declined_and_never_swallows_a_body(client: httpx.Client) -> None:
    """The parser takes what follows such a head for another protocol; so would be a body."""
    wish = b"Connection: upgrade\r\nUpgrade: h2c\r\n"
    assert statuses(sent(client.base_url, post(wish + b"Content-Length: 2\r\n"))) == [400]
    declined = b"GET /healthz HTTP/1.1\r\n" + HOST + wish + b"\r\n"
    assert statuses(sent(client.base_url, declined)) == [200]


def test_old_and_absolute_but_right_requests_are_answered(client: httpx.Client) -> None:
    for request in (
        b"GET /healthz HTTP/1.0\r\n" + HOST + b"\r\n",
        b"GET http://localhost/healthz HTTP/1.1\r\n" + HOST + CLOSE,
        b"\r\nGET /healthz HTTP/1.1\r\n" + HOST + CLOSE,
    ):
        assert statuses(sent(client.base_url, request)) == [200], request


def test_what_follows_a_close_is_not_answered(client: httpx.Client) -> None:
    request = b"GET /healthz HTTP/1.1\r\n" + HOST + CLOSE
    assert statuses(sent(client.base_url, request * 3)) == [200]


@pytest.mark.parametrize(
    "path",
    [
        "/collections/..%2f..%2fetc%2fpasswd",
        "/collections/%2e%2e/models",
        "/collections/a%00b",
        "/collections/%ff%fe",
        "/collections/a%2fb",
        "/persons/..%2fmodels",
        "/persons/%252e%252e",
        "//models",
        "/models/",
        "/models%20",
        "/docs/../models",
        "/%c0%ae%c0%ae/",
    ],
)
def test_odd_paths_lead_nowhere(client: httpx.Client, path: str) -> None:
    answer = statuses(sent(client.base_url, f"GET {path} HTTP/1.1\r\n".encode() + HOST + CLOSE))
    assert len(answer) == 1
    assert answer[0] in (307, 404, 405, 422), answer


def test_a_header_does_not_override_the_method(client: httpx.Client, collection: str) -> None:
    made = client.post("/collections", json={"name": collection})
    assert made.status_code == 201, made.text
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "_method"):
        client.get(f"/collections/{collection}", headers={name: "DELETE"})
        client.post(f"/collections/{collection}?_method=DELETE", headers={name: "DELETE"})
    assert client.get(f"/collections/{collection}").status_code == 200


def test_a_400_does_not_answer_for_the_request_before_it(
    client: httpx.Client, astronaut: bytes
) -> None:
    """Broken bytes behind an enrolment must not say that the enrolment was refused."""
    request = client.build_request("POST", "/detect", files={"image": astronaut})
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    whole = f"POST /detect HTTP/1.1\r\n{head}\r\n".encode() + request.read()
    assert 400 not in statuses(sent(client.base_url, whole + b"\0\0nonsense\r\n\r\n"))
    answer = client.post("/detect", files={"image": astronaut})
    assert json.loads(answer.content)["faces"]
