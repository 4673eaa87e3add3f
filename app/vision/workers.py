"""Processes that look at pictures: on a CPU, where threads would wait for Python's lock.

The service itself parses no image and computes no network. A worker takes bytes and gives back
numbers; what a hostile image breaks there costs that image. All are forked from one process that
has the packs loaded (`app.vision.worker_process`), so one that is lost is replaced in milliseconds.
"""

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import structlog

from app.errors import CannotStart, ImageRefused
from app.stages import Stages
from app.types import Floats, ImageLimits
from app.vision import worker_wire as wire
from app.vision.crew import Crops, Look, Seen
from app.vision.decoder import PICTURES, ROOT, environment
from app.vision.directions import unit_rows
from app.vision.errors import DecoderUnavailable, EmbeddingFailed, ImageBroken
from app.vision.limits import check_bytes
from app.vision.pack import Pack

log = structlog.get_logger()

MODULE: Final = "app.vision.worker_process"
AHEAD: Final = 2
"""Pictures that one worker has at a time: it begins the next one without waiting to be told."""

NETWORK_SECONDS: Final = 20.0
"""What a picture may take beyond its decoding, and crops altogether."""

START_SECONDS: Final = 120.0
EXIT_SECONDS: Final = 2.0


class Lost(Exception):
    """The worker does not answer any more, or not in the way it should. `why` is for the log."""

    def __init__(self, why: str, *, begun: bool = True) -> None:
        super().__init__(why)
        self.why = why
        self.begun = begun


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

    answer: "asyncio.Future[_Answer]"
    dimension: int
    embed: bool


@dataclass(frozen=True, slots=True)
class _Answer:
    kind: int
    count: int
    body: memoryview


class Workers:
    """`count` processes at most, for several packs; begun with `open`, which fails as packs do.

    `seconds` is the time that decoding one image may take, `more` what all else may. A process is
    replaced after `pictures`. `deaths` counts those that an image ended.
    """

    def __init__(
        self,
        packs: Sequence[Path],
        limits: ImageLimits,
        *,
        count: int,
        seconds: float,
        more: float = NETWORK_SECONDS,
        pictures: int = PICTURES,
        module: str = MODULE,
    ) -> None:
        self.count = count
        self.deaths = 0
        self.loaded: list[Loaded] = []
        self._packs = packs
        self._limits = limits
        self._seconds = seconds
        self._more = more
        self._pictures = pictures
        self._module = module
        self._host: _Host | None = None
        self._workers: list[_Worker] = []
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Load the packs. Raises PackInvalid, ProviderUnavailable, CannotStart."""
        try:
            self.loaded = (await self._living_host()).loaded
        except DecoderUnavailable:
            raise CannotStart(
                "The process that loads the packs did not start; what it said stands above."
            ) from None

    async def warm_up(self) -> None:
        """Have every network run once, and one worker ready."""
        # It is logged, and requests say it by name until a process can be started.
        with contextlib.suppress(DecoderUnavailable):
            await (await self._living_host()).warm_up()
            await self._take()

    async def close(self) -> None:
        """Let the processes end. Nothing may be under way."""
        for worker in self._workers:
            worker.close()
        if self._host is not None:
            await self._host.close()

    async def look(self, pack: int, image: bytes, most: int, stages: Stages, embed: bool) -> Seen:
        """As `app.vision.sight.Sight.see`, whose errors it raises.

        An image that crashes its worker, fills its memory or takes too long is an ImageBroken or
        ImageTooLarge. Raises DecoderUnavailable where no process can be started.
        """
        check_bytes(image, self._limits)
        kind = wire.LOOK_AND_EMBED if embed else wire.LOOK
        try:
            answer, dimension = await self._ask(pack, kind, most, image, self._seconds + self._more)
            return wire.seen_in(answer.body, answer.count, dimension, stages, embed=embed)
        except Lost as lost:
            self.deaths += 1
            log.warning("decoder.lost", why=lost.why, bytes=len(image))
            raise self._refusal(lost) from None

    async def rows(self, pack: int, crops: bytes) -> tuple[Floats, float]:
        """The recognizer's answers float32[N, D], of any length, for crops uint8[N, 112, 112, 3];
        and the seconds that it took. Raises DeviceFailed, DecoderUnavailable."""
        try:
            answer, dimension = await self._ask(pack, wire.EMBED, 0, crops, self._more)
        except Lost as lost:
            log.error("worker.lost", why=lost.why)
            raise DecoderUnavailable("The process that embedded was lost. Try again.") from None
        return wire.rows_in(answer.body, answer.count, dimension)

    async def _ask(
        self, pack: int, kind: int, most: int, data: bytes, seconds: float
    ) -> tuple[_Answer, int]:
        """Raises Lost where the worker failed over it, and what the worker refuses."""
        dimension = self.loaded[pack].dimension
        head = wire.ASK.pack(kind, pack, most, len(data))
        while True:
            worker = await self._take()
            try:
                answer = await worker.ask(head, data, seconds, dimension, embed=kind != wire.LOOK)
            except Lost as lost:
                if not lost.begun:
                    continue  # it stood behind the picture that ended the worker
                host = self._host
                if host is None or not host.lives:
                    raise DecoderUnavailable(
                        "The processes that look at pictures were ended from outside. Try again."
                    ) from None
                raise
            if answer.kind in (wire.SEEN, wire.EMBEDDED):
                return answer, dimension
            raise _error_in(answer)

    async def _take(self) -> "_Worker":
        """The worker with the least before it, or a new one. Raises DecoderUnavailable."""
        async with self._turn:
            self._workers = [each for each in self._workers if self._stays(each)]
            best = min(self._workers, key=lambda each: each.busy, default=None)
            if best is not None and (not best.busy or len(self._workers) >= self.count):
                return best
            worker = await (await self._living_host()).fork()
            self._workers.append(worker)
            return worker

    def _stays(self, worker: "_Worker") -> bool:
        if not worker.lives:
            return False
        if worker.asked < self._pictures or worker.busy:
            return True
        worker.close()
        return False

    async def _living_host(self) -> "_Host":
        if self._host is None or not self._host.lives:
            if self._host is not None:
                await self._host.close()
            try:
                self._host = await _Host.start(
                    self._module, self._packs, self._limits, self._seconds
                )
            except (OSError, TimeoutError, Lost) as error:
                log.error("decoder.not_started", exc_info=error)
                raise DecoderUnavailable(
                    "No process can be started to look at the image. Try again; if it stays, look "
                    "at the service's limits of memory and processes."
                ) from None
        return self._host

    def _refusal(self, lost: Lost) -> ImageBroken:
        if lost.why in _TOO_LONG:
            return ImageBroken(
                f"The image was not decoded within {self._seconds:g} s. Save it anew, or smaller, "
                "and send it again."
            )
        return ImageBroken(
            "The image cannot be decoded: it made its decoder fail. Save it anew and send it again."
        )


_SILENT: Final = "no answer in time"
_TOO_LONG: Final = (_SILENT, f"ended: {signal.SIGALRM.name}")


def _error_in(answer: _Answer) -> Exception:
    """What an answer in words says."""
    try:
        told = json.loads(bytes(answer.body))
        if answer.kind == wire.REFUSED:
            return wire.error_of(told)
        what = f"{told['error']} in {told['where']}"
    except (ValueError, KeyError, TypeError):
        return Lost("answered nonsense")
    return Lost(what) if answer.kind == wire.FAULT else RuntimeError(f"A worker failed: {what}")


class _Worker(asyncio.Protocol):
    """One process, asked over a stream; it answers in the order in which it was asked."""

    def __init__(self, host: "_Host", pid: int) -> None:
        self.asked = 0
        self.lives = True
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
    ) -> _Answer:
        """Raises Lost."""
        if self._stream is None or not self.lives:
            raise Lost("it is gone", begun=False)
        self.asked += 1
        asked = _Asked(asyncio.get_running_loop().create_future(), dimension, embed)
        before = len(self._open)
        self._open.append(asked)
        # In one piece where it is small, so that the process is woken once.
        self._stream.writelines((head, data))
        try:
            async with asyncio.timeout(seconds * (1 + before)):
                return await asked.answer
        except TimeoutError:
            self._fail(_SILENT)
            raise Lost(_SILENT) from None

    def close(self) -> None:
        """Let the process end by itself, which it does when its stream is closed."""
        self.lives = False
        if self._stream is not None:
            self._stream.close()

    def connection_made(self, transport: Any) -> None:
        self._stream = transport

    def data_received(self, data: bytes) -> None:
        self._came += data
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
            if not first.answer.done():
                first.answer.set_result(_Answer(kind, count, body))
            if kind in (wire.FAULT, wire.BUG):  # after which it ends, and begins nothing more
                self._leave()

    def connection_lost(self, _error: Exception | None) -> None:
        idle = self.lives and not self._open
        self.lives = False
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


class _Host:
    """The process that has the packs loaded, with our end of its socket."""

    def __init__(self, process: "subprocess.Popen[bytes]", control: socket.socket) -> None:
        self.lives = True
        self.loaded: list[Loaded] = []
        self._process = process
        self._control = control
        self._done: deque[asyncio.Future[dict[str, Any]]] = deque()
        self._ends: dict[int, str] = {}
        self._curious: dict[int, Any] = {}

    @classmethod
    async def start(
        cls, module: str, packs: Sequence[Path], limits: ImageLimits, seconds: float
    ) -> "_Host":
        """Raises OSError, TimeoutError, Lost, and what is wrong with a pack."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        arguments = (theirs.fileno(), limits.max_bytes, limits.max_pixels, seconds)
        with theirs:
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
        ours.setblocking(False)
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

    async def fork(self) -> _Worker:
        """A new worker. Raises DecoderUnavailable."""
        ours, theirs = socket.socketpair()
        with theirs:
            told = await self._do(wire.FORK, theirs)
        if "pid" not in told:
            ours.close()
            log.error("decoder.not_started", why=told.get("failed"))
            raise DecoderUnavailable(
                "No process can be started to look at the image. Try again; if it stays, look at "
                "the service's limits of memory and processes."
            )
        ours.setblocking(False)
        _, worker = await asyncio.get_running_loop().create_unix_connection(
            lambda: _Worker(self, told["pid"]), sock=ours
        )
        return worker

    async def warm_up(self) -> None:
        await self._do(wire.WARM)

    def kill(self, pid: int) -> None:
        """End a worker, if it still is one."""
        if self.lives:
            self._control.send(json.dumps({"do": wire.KILL, "pid": pid}).encode())

    def when_ended(self, pid: int, then: Any) -> None:
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
            self._done.popleft().set_result(told)
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


class OfPack:
    """The crew of one pack; `workers` serve others too, and are closed by their maker."""

    embeds_at_once = True

    def __init__(self, workers: Workers, number: int, embed_batch: int) -> None:
        loaded = workers.loaded[number]
        self.dimension, self.providers = loaded.dimension, loaded.providers
        self.looks = AHEAD * workers.count
        self.batches = workers.count
        self.limit = embed_batch
        self._workers = workers
        self._number = number

    @property
    def deaths(self) -> int:
        return self._workers.deaths

    async def look(self, asked: Sequence[Look]) -> Sequence[Seen | Exception]:
        return [await self._look(each) for each in asked]

    async def embed(self, asked: Sequence[Crops]) -> Sequence[Floats | Exception]:
        crops = np.concatenate([each.pixels for each in asked])
        raw, seconds = await self._workers.rows(self._number, crops.tobytes())
        for each in asked:
            each.stages.add("embed", seconds)
        return unit_rows(raw, [len(each.pixels) for each in asked])

    async def warm_up(self) -> None:
        await self._workers.warm_up()

    async def close(self) -> None:
        return

    async def _look(self, asked: Look) -> Seen | Exception:
        try:
            return await self._workers.look(
                self._number, asked.image, asked.most, asked.stages, asked.embed
            )
        except (ImageRefused, EmbeddingFailed) as error:
            return error
