"""The connection: uvicorn's HTTP/1.1 with an end to every wait for the other side.

uvicorn bounds neither the time nor the bytes of a request's head, nor what is pipelined, nor how
long an answer may lie unread. Here a caller who dawdles loses the connection and nothing else.
The time of a body is the door's business (`app.api.intake`), since only the door can answer.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD: Final = 65_536
"""Bytes of a request's head: its target and its headers."""

MOST_PIPELINED: Final = 16
"""Requests that may wait behind the one that is being answered on the same connection."""

LINGER: Final = 2.0
"""Seconds in which the rest of a body is read away after an answer that did not wait for it."""

MOST_UNWANTED: Final = 16_000_000
"""Bytes of such a rest that are read away: a large image, so that its sender hears the answer."""

_BODY_FOLLOWS: Final = (b"content-length", b"transfer-encoding")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how much this side waits for the other.

    header_seconds: for a whole request head. body_seconds and body_rate (bytes a second): an
    answer of n bytes must be taken in body_seconds + n / body_rate. connections: open at once.
    """

    header_seconds: float
    body_seconds: float
    body_rate: int
    connections: int


class HeadRefused(Exception):
    """Raised into the parser, which answers 400."""


class Connection(HttpToolsProtocol):
    """One connection; `patience` is given by `connection_class`."""

    patience: Patience

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_body = False
        self._head_bytes = 0
        self._unwanted = 0
        self._due: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    # A narrower type than asyncio says, as uvicorn has it: only TCP comes here.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(
            _Parting(transport, self.loop, self._grace, unread=lambda: self._in_body)
        )
        if len(self.connections) > self.patience.connections:
            self.transport.abort()
            return
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cease()
        self._forget_unread()
        if isinstance(self.transport, _Parting):
            self.transport.gone()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():  # it lingers: what still comes is read away
            self._unwanted += len(data)
            if self._unwanted > MOST_UNWANTED:
                self.transport.abort()
            return
        if not self._in_body:
            self._head_bytes += len(data)
            if self._due is None:
                self._expect()
        super().data_received(data)
        if not self._in_body and self._head_bytes > MOST_HEAD and not self.transport.is_closing():
            self.send_400_response("The head of the request is too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._due is None:
            self._expect()

    def on_headers_complete(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > MOST_HEAD or len(self.pipeline) >= MOST_PIPELINED:
            raise HeadRefused
        upgrade = self.parser.should_upgrade()
        if upgrade and any(name in _BODY_FOLLOWS for name, _ in self.headers):
            raise HeadRefused  # the parser would skip the body, and read it as another protocol
        self._cease()
        self._in_body = True
        self._head_bytes = 0
        super().on_headers_complete()
        if upgrade:
            self.cycle.keep_alive = False  # answered as if it had not asked, but read no further

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_body = False
        self._cease()
        if self.cycle.response_complete and self.timeout_keep_alive_task is None:
            # The rest of a body that nobody wanted has ended, and idleness begins only now.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_body:
            self._expect()  # the rest of a body that nobody wants has as long as a head

    def send_400_response(self, msg: str) -> None:
        waiting = self.cycle is not None and not self.cycle.response_complete
        if waiting and (not self._in_body or self.cycle.response_started):
            # Broken bytes behind a request that is still being answered: a 400 would be taken
            # for the answer to that one.
            self.transport.close()
        else:
            super().send_400_response(msg)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self._grace(), self.transport.abort)

    def resume_writing(self) -> None:
        self._forget_unread()
        super().resume_writing()

    def _grace(self) -> float:
        """Seconds in which what is written but not taken yet must be taken."""
        waiting = self.transport.get_write_buffer_size()
        return self.patience.body_seconds + waiting / self.patience.body_rate

    def _expect(self) -> None:
        self._cease()
        self._due = self.loop.call_later(self.patience.header_seconds, self._overdue)

    def _cease(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _forget_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _overdue(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._expect()  # half a head behind a request that is still answered: that one first
        else:
            self.transport.close()


def connection_class(given: Patience) -> type[Connection]:
    """`Connection` with its patience, as uvicorn wants it: a class."""

    class Patient(Connection):
        patience = given

    return Patient


class _Parting(asyncio.Transport):
    """A transport whose `close` is polite, and comes to an end.

    A socket that is closed while unread bytes lie in it is reset, and the reset may overtake the
    answer (RFC 9112, 9.6). So where a body is still owed, only the writing side is closed, and
    what comes is read away for a moment. And where the answer itself is not taken, it is dropped
    after `grace` seconds: asyncio would wait for ever.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        grace: Callable[[], float],
        *,
        unread: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._grace = grace
        self._unread = unread
        self._closing = False
        self._end: asyncio.TimerHandle | None = None

    def close(self) -> None:
        if self.is_closing():
            return
        self._closing = True
        if self._unread():
            self._end = self._loop.call_later(LINGER, self._transport.abort)
            self._transport.write_eof()
            self._transport.resume_reading()
        else:
            self._end = self._loop.call_later(self._grace(), self._transport.abort)
            self._transport.close()

    def gone(self) -> None:
        """The connection is lost: nothing is left to wait for."""
        self._closing = True
        if self._end is not None:
            self._end.cancel()

    def is_closing(self) -> bool:
        return self._closing or self._transport.is_closing()

    def abort(self) -> None:
        self._closing = True
        self._transport.abort()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._transport.write(data)

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)
