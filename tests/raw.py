"""Requests as bytes, for what no HTTP library would send."""

import socket
import time
from urllib.parse import urlsplit

PATIENCE = 30.0
"""Seconds to wait for what must happen sooner; a busy machine is no fault of the code."""


def connect(url: str) -> socket.socket:
    at = urlsplit(url)
    return socket.create_connection((at.hostname or "", at.port or 80), timeout=PATIENCE)


def read_to_end(connection: socket.socket) -> bytes:
    """All that comes until the other side closes; raises TimeoutError where it does not."""
    came = b""
    give_up = time.monotonic() + PATIENCE
    try:
        while time.monotonic() < give_up:
            more = connection.recv(65_536)
            if not more:
                return came
            came += more
    except (ConnectionResetError, BrokenPipeError):
        return came
    raise TimeoutError(f"still open after {PATIENCE:g} s, {len(came)} bytes came")


def read_answer(connection: socket.socket) -> bytes:
    """One answer with a Content-Length, and not a byte more."""
    came = b""
    while b"\r\n\r\n" not in came:
        came += _more(connection, 1)
    head = came.lower()
    length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
    while len(came) < head.index(b"\r\n\r\n") + 4 + length:
        came += _more(connection, 1)
    return came


def status_of(answer: bytes) -> int | None:
    """The status of the first answer in these bytes; None where there is none."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None


def _more(connection: socket.socket, count: int) -> bytes:
    more = connection.recv(count)
    if not more:
        raise ConnectionError("closed in the middle of an answer")
    return more
