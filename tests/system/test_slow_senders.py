"""Callers who dawdle lose their connection, and nobody else notices."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from tests.raw import PATIENCE, connect, read_answer, read_to_end, status_of
from tests.service import ROOT, Service

HEAD = b"Host: localhost\r\nContent-Type: application/json\r\n"
HEALTHZ = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
LIMIT = 1.0
CONNECTIONS = 60


@dataclass(frozen=True)
class Dawdler:
    """What a caller sends at once, and then again and again; and what it hears before the end."""

    name: str
    opening: bytes
    drip: bytes
    hears: int | None = None
    greeting: bytes = b""


DAWDLERS = [
    Dawdler("a connection opened and silent", b"", b""),
    Dawdler("a head dripped", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", b"a"),
    Dawdler("a target dripped", b"GET /", b"a"),
    Dawdler("empty lines dripped", b"", b"\r\n"),
    Dawdler("a second head dripped", b"GET /", b"a", greeting=HEALTHZ),
    Dawdler("empty lines dripped after an answer", b"", b"\r\n", greeting=HEALTHZ),
    Dawdler(
        "a body dripped",
        b"POST /detect HTTP/1.1\r\n" + HEAD + b'Content-Length: 100000\r\n\r\n{"image": "',
        b"A",
        hears=408,
    ),
    Dawdler(
        "a small body dripped",
        b"PATCH /persons/0 HTTP/1.1\r\n" + HEAD + b"Content-Length: 10000\r\n\r\n{",
        b" ",
        hears=408,
    ),
    Dawdler(
        "a form dripped",
        b"POST /identify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n",
        b"C",
        hears=408,
    ),
    Dawdler(
        "half a chunked body",
        b"POST /detect HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{  ",
        b"",
        hears=408,
    ),
    Dawdler(
        "a chunked body dripped",
        b"POST /detect HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
        b"1\r\n \r\n",
        hears=408,
    ),
    Dawdler(
        "the rest of a body that nobody wants dripped",
        b"POST /nowhere HTTP/1.1\r\n" + HEAD + b"Content-Length: 100000\r\n\r\n",
        b"A",
        hears=404,
    ),
]


@pytest.fixture(scope="module")
def impatient(
    shared_service: Service, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service whose deadlines a test can wait for."""
    service = Service(
        {
            **shared_service.settings,
            "ROLLCALL_DATA_DIR": str(tmp_path_factory.mktemp("impatient")),
            "ROLLCALL_HEADER_SECONDS": str(LIMIT),
            "ROLLCALL_BODY_SECONDS": str(LIMIT),
            "ROLLCALL_MAX_CONNECTIONS": str(CONNECTIONS),
        }
    )
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.kill()


@pytest.mark.parametrize("dawdler", DAWDLERS, ids=lambda dawdler: dawdler.name)
def test_who_dawdles_is_cut_off(impatient: Service, dawdler: Dawdler) -> None:
    with connect(impatient.url) as connection:
        if dawdler.greeting:
            connection.sendall(dawdler.greeting)
            assert status_of(read_answer(connection)) == 200
        begin = time.monotonic()
        connection.sendall(dawdler.opening)
        heard = b""
        while time.monotonic() - begin < PATIENCE:
            if select.select([connection], [], [], 0.1)[0]:
                try:
                    more = connection.recv(65_536)
                except ConnectionResetError:
                    break
                if not more:
                    break
                heard += more
            else:
                try:
                    connection.sendall(dawdler.drip)
                except (BrokenPipeError, ConnectionResetError):
                    break
        lasted = time.monotonic() - begin
    assert lasted < PATIENCE, f"still open after {lasted:.0f} s"
    assert lasted > 0.9 * LIMIT, f"cut off after {lasted:.2f} s already"
    assert status_of(heard) == dawdler.hears
    if dawdler.hears == 408:
        assert b'"code":"body_timeout"' in heard
        assert b"connection: close" in heard.lower()


def test_two_hundred_who_dawdle_keep_nobody_waiting(client: httpx.Client, hanks: bytes) -> None:
    with ExitStack() as stack:
        for number in range(200):
            dawdler = DAWDLERS[number % len(DAWDLERS)]
            connection = stack.enter_context(connect(str(client.base_url)))
            connection.sendall(dawdler.greeting + dawdler.opening)
        begin = time.monotonic()
        assert client.get("/healthz").status_code == 200
        assert client.post("/detect", files={"image": hanks}).status_code == 200
        assert time.monotonic() - begin < 5


def test_a_connection_beyond_the_most_is_closed_at_once_and_room_comes_back(
    impatient: Service,
) -> None:
    with ExitStack() as stack:
        begin = time.monotonic()
        for _ in range(CONNECTIONS):
            stack.enter_context(connect(impatient.url))
        beyond = [stack.enter_context(connect(impatient.url)) for _ in range(5)]
        if time.monotonic() - begin > 0.8 * LIMIT:
            pytest.skip("this machine is too slow to open sixty connections within the deadline")
        assert [read_to_end(connection) for connection in beyond] == [b""] * 5
        assert time.monotonic() - begin < LIMIT, "closed at once, not by the deadline"
        time.sleep(2 * LIMIT)
        assert httpx.get(f"{impatient.url}/healthz", timeout=PATIENCE).status_code == 200


def test_who_never_reads_an_answer_does_not_keep_it_in_memory(impatient: Service) -> None:
    request = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with connect(impatient.url) as connection:
        port = connection.getsockname()[1]
        connection.setblocking(False)
        give_up = time.monotonic() + PATIENCE
        while held(impatient, port) and time.monotonic() < give_up:
            # Never more than a few at once, and all unread, until the socket takes no more.
            if select.select([], [connection], [], 0)[1]:
                try:
                    connection.send(request)
                except (BrokenPipeError, ConnectionResetError):
                    break  # the service parted; its own end may be there for a moment yet
            time.sleep(0.01)
        while held(impatient, port) and time.monotonic() < give_up:
            time.sleep(0.05)
        assert not held(impatient, port)


def held(service: Service, port: int) -> bool:
    """Whether the service still holds the connection from `port`."""
    ours = psutil.Process(service.process.pid).net_connections("tcp")
    return any(each.raddr and each.raddr.port == port for each in ours)


def test_a_body_in_steady_flow_may_take_longer_than_its_seconds(impatient: Service) -> None:
    """The rate is 32 kB a second: what comes faster has time in proportion to its size."""
    body = b'{"image": "' + b"A" * 200_000
    with connect(impatient.url) as connection:
        length = f"Content-Length: {len(body)}\r\n\r\n".encode()
        connection.sendall(b"POST /detect HTTP/1.1\r\n" + HEAD + length)
        begin = time.monotonic()
        for at in range(0, len(body), 10_000):
            connection.sendall(body[at : at + 10_000])
            time.sleep(0.1)
        assert time.monotonic() - begin > 1.5 * LIMIT
        assert status_of(read_answer(connection)) == 422


def test_the_rest_of_a_refused_body_is_never_taken_for_a_request(
    impatient: Service, tmp_path: Path
) -> None:
    body = b"GET /models HTTP/1.1\r\nHost: localhost\r\n\r\n"
    length = f"Content-Length: {len(body)}\r\n\r\n".encode()
    with connect(impatient.url) as connection:
        connection.sendall(b"POST /nowhere HTTP/1.1\r\n" + HEAD + length)
        assert status_of(read_answer(connection)) == 404
        connection.sendall(body + HEALTHZ.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        rest = read_to_end(connection)
    assert rest.count(b"HTTP/1.1 ") == 1
    assert rest.endswith(b'{"status":"ok"}')


def test_a_process_that_may_not_open_its_connections_does_not_start() -> None:
    refused = subprocess.run(
        ["bash", "-c", f"ulimit -n 700; exec {sys.executable} -m app serve"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("ROLLCALL_")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert refused.returncode == 1
    assert "cannot_start: This process may open 700 files" in refused.stderr
    assert "ROLLCALL_MAX_CONNECTIONS" in refused.stderr
