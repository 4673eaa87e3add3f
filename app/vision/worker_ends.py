"""Our ends of what is said to the worker processes, and to the one that they are forked from."""

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Final

import structlog

from app.types import ImageLimits
from app.vision import worker_wire as wire
from app.vision.decoder import ROOT, environment
from app.vision.errors import DecoderUnavailable
from app.vision.pack import Pack

log = structlog.get_logger()

START_SECONDS: Final = 120.0
EXIT_SECONDS: Final = 2.0
SILENT: Final = "no answer in time"
NOT_STARTED: Final = (
    "No process can be started to look at the image. Try again; if it stays, look at the service's "
    "limits of memory and processes."
)


class Lost(Exception):
    """The worker does not answer any more, or not in the way it should. `why` is for the log.

    `begun`: whether it had begun what it was asked.
    """

    def __init__(self, why: str, *, begun: bool = True) -> None:
        super().__init__(why)
        self.why = why
        self.begun = begun

    @property
    def late(self) -> bool:
        """Whether it took longer than it may."""
        return self.why in (SILENT, f"ended: {signal.SIGALRM.name}")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A pack as the workers have it."""

    pack: Pack
    providers: tuple[str, ...]

    @property
    def dimension(self) -> int:
        return self.pack.recognizer.dimension


@dataclass(slots=True, eq=False)
class _Asked:
    """What a worker was asked, and what the answer must fit."""

    answer: "asyncio.Future[Answer]"
    dimension: int
    embed: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """As `app.vision.worker_wire` has it; `body` has the length that its kind asks for."""

    kind: int
    count: int
    body: memoryview


class Worker(asyncio.Protocol):
    """One process, asked over a stream; it answers in the order in which it was asked.

    `busy` is how much it has been asked and not answered, `since` when it began the first of that.
    """

    def __init__(self, host: "Host", pid: int) -> None:
        self.asked = 0
        self.lives = True
        self.since = 0.0
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._host = host
        self._pid = pid
        self._why = ""
        self._open: deque[_Asked] = deque()
        self._came = bytearray()
        self._stream: asyncio.WriteTransport | None = None

    @property
    def busy(self) -> int:
        return len(self._open)

    async def ask(
        self, head: bytes, data: bytes, seconds: float, dimension: int, *, embed: bool
    ) -> Answer:
        """Raises Lost."""
        if self._stream is None or not self.lives:
            raise Lost("it is gone", begun=False)
        self.asked += 1
        asked = _Asked(asyncio.get_running_loop().create_future(), dimension, embed)
        before = len(self._open)
        if not before:
            self.since = monotonic()
        self._open.append(asked)
        # In one piece where it is small, so that the process is woken once.
        self._stream.writelines((head, data))
        try:
            async with asyncio.timeout(seconds * (1 + before)):
                return await asked.answer
        except TimeoutError:
            self._fail(SILENT)
            raise Lost(SILENT) from None

    def retire(self) -> None:
        """Let it end after what it was asked so far."""
        self.lives = False
        if not self._open:
            self.close()

    def close(self) -> None:
        """Let the process end by itself, which it does when its stream is closed."""
        self.lives = False
        if self._stream is not None:
            self._stream.close()

    def connection_made(self, transport: Any) -> None:
        self._stream = transport

    def data_received(self, data: bytes) -> None:
        self._came += data
        if not self.ready.done():
            del self._came[: len(wire.READY)]
            self.ready.set_result(None)
        while self._open and len(self._came) >= wire.ANSWER.size:
            kind, count, size = wire.ANSWER.unpack_from(self._came)
            first = self._open[0]
            try:
                fits = wire.size_of(kind, count, first.dimension, embed=first.embed)
            except ValueError:
                fits = -1
            if size > fits or (kind in (wire.SEEN, wire.EMBEDDED) and size != fits):
                self._fail("answered nonsense")
                return
            end = wire.ANSWER.size + size
            if len(self._came) < end:
                return
            body = memoryview(bytes(self._came[wire.ANSWER.size : end]))
            del self._came[:end]
            self._open.popleft()
            self.since = monotonic()
            if not first.answer.done():
                first.answer.set_result(Answer(kind, count, body))
            if kind in (wire.FAULT, wire.BUG):  # after which it ends, and begins nothing more
                self._leave()
        if not self.lives and not self._open and self._stream is not None:
            self._stream.close()

    def connection_lost(self, _error: Exception | None) -> None:
        idle = self.lives and not self._open
        self.lives = False
        if not self.ready.done():
            self.ready.set_exception(Lost("ended before it was ready"))
            return
        self._host.when_ended(self._pid, self._mourn if idle else self._give_up)

    def _leave(self) -> None:
        """Send those who stand behind elsewhere."""
        self.lives = False
        self._give_up("", begun=False)

    def _mourn(self, how: str) -> None:
        log.warning("decoder.lost", why=f"ended while idle: {how}")

    def _fail(self, why: str) -> None:
        """End the process, which does not do as it should."""
        self._why = self._why or why
        self.lives = False
        self._host.kill(self._pid)
        self._give_up("")

    def _give_up(self, how: str, *, begun: bool = True) -> None:
        """The first picture ended it, if it was `begun`; those behind were not."""
        while self._open:
            asked = self._open.popleft()
            if not asked.answer.done():
                asked.answer.set_exception(Lost(self._why or f"ended: {how}", begun=begun))
            begun = False
        if self._stream is not None:
            self._stream.abort()


@contextlib.contextmanager
def _closed_on_failure(end: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        end.close()
        raise


class Host:
    """The process that has the packs loaded, with our end of its socket."""

    def __init__(self, process: "subprocess.Popen[bytes]", control: socket.socket) -> None:
        self.lives = True
        self.loaded: list[Loaded] = []
        self._process = process
        self._control = control
        self._done: deque[asyncio.Future[dict[str, Any]]] = deque()
        self._ends: dict[int, str] = {}
        self._curious: dict[int, Callable[[str], None]] = {}

    @classmethod
    async def start(
        cls, module: str, packs: Sequence[Path], limits: ImageLimits, seconds: float
    ) -> "Host":
        """Raises OSError, TimeoutError, Lost, and what is wrong with a pack."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        arguments = (theirs.fileno(), limits.max_bytes, limits.max_pixels, seconds)
        ours.setblocking(False)
        with theirs, _closed_on_failure(ours):
            process = await asyncio.to_thread(
                subprocess.Popen,
                [sys.executable, "-m", module, *map(str, (*arguments, *packs))],
                cwd=ROOT,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        host = cls(process, ours)
        loop = asyncio.get_running_loop()
        ready = host._await()
        loop.add_reader(ours.fileno(), host._hear)
        try:
            async with asyncio.timeout(START_SECONDS):
                told = await ready
        except BaseException:
            await host.close()
            raise
        if "refused" in told:
            await host.close()
            raise wire.error_of(told["refused"])
        host.loaded = [
            Loaded(wire.pack_of(each["pack"]), tuple(each["providers"])) for each in told["loaded"]
        ]
        return host

    async def fork(self) -> Worker:
        """A new worker. Raises DecoderUnavailable."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            with _closed_on_failure(ours):
                with theirs:
                    told = await self._do(wire.FORK, theirs)
                if "pid" not in told:
                    raise Lost(f"not forked: {told['failed']}")
                _, worker = await asyncio.get_running_loop().create_unix_connection(
                    lambda: Worker(self, told["pid"]), sock=ours
                )
                await worker.ready
        except Lost as lost:
            log.error("decoder.not_started", why=lost.why)
            raise DecoderUnavailable(NOT_STARTED) from None
        return worker

    async def warm_up(self) -> None:
        await self._do(wire.WARM)

    def kill(self, pid: int) -> None:
        """End a worker, if it still is one."""
        if self.lives:
            self._control.send(json.dumps({"do": wire.KILL, "pid": pid}).encode())

    def when_ended(self, pid: int, then: Callable[[str], None]) -> None:
        """Call `then` with how the worker ended, once that is known."""
        if pid in self._ends:
            then(self._ends.pop(pid))
        elif not self.lives:
            then("with the process that it was forked from")
        else:
            self._curious[pid] = then
            asyncio.get_running_loop().call_later(EXIT_SECONDS, self._tell, pid, "its stream alone")

    async def close(self) -> None:
        """Let it end by itself, which it does when its socket is closed."""
        self._gone()
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.to_thread(self._process.wait, EXIT_SECONDS)
        self._process.kill()
        await asyncio.to_thread(self._process.wait)

    async def _do(self, what: str, stream: socket.socket | None = None) -> dict[str, Any]:
        done = self._await()
        files = [] if stream is None else [stream.fileno()]
        try:
            socket.send_fds(self._control, [json.dumps({"do": what}).encode()], files)
        except OSError:
            self._gone()
        return await done

    def _await(self) -> "asyncio.Future[dict[str, Any]]":
        done: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._done.append(done)
        return done

    def _hear(self) -> None:
        try:
            message = self._control.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            self._gone()
            return
        told = json.loads(message)
        if "ended" not in told:
            done = self._done.popleft()
            if not done.done():
                done.set_result(told)
            return
        status = told["status"]
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        if told["ended"] in self._curious:
            self._tell(told["ended"], how)
        else:
            self._ends[told["ended"]] = how

    def _tell(self, pid: int, how: str) -> None:
        if pid in self._curious:
            self._curious.pop(pid)(how)

    def _gone(self) -> None:
        if not self.lives:
            return
        self.lives = False
        asyncio.get_running_loop().remove_reader(self._control.fileno())
        self._control.close()
        for done in self._done:
            if not done.done():
                done.set_exception(Lost("the process with the packs is gone"))
        for pid in list(self._curious):
            self._tell(pid, "with the process that it was forked from")
