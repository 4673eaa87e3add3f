"""Decoding in processes of their own: what a hostile image breaks there costs one request.

The service itself parses no image. It hands the bytes over, and takes back an error or pixels: of
a large picture a memory file that nobody can change any more, of a small one a copy out of memory
that both map.
"""

import contextlib
import fcntl
import json
import mmap
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Final

import numpy as np
import structlog

from app.types import Decoded, ImageLimits, Pixels
from app.vision import decoder_wire as wire
from app.vision.errors import DecoderUnavailable, ImageBroken
from app.vision.limits import check_bytes

log = structlog.get_logger()

MODULE: Final = "app.vision.decoder_process"
PICTURES: Final = 1_000
"""Images after which a process is replaced, so that no codec's leak grows for ever."""
START_SECONDS: Final = 30.0
ONE_PIECE: Final = 1 << 16
"""Bytes of an image that are sent together with what is said of it."""
FIXED: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
SEALED: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
ROOT: Final = Path(__file__).parents[2]


class Lost(Exception):
    """The process does not answer any more, or not in the way it should. `why` is for the log."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class TookTooLong(Lost):
    """The image was not decoded in the time that one may take."""


class Decoder:
    """Processes that decode. Any thread may call `decode`; each call has a process to itself.

    Processes are started when they are first needed and when one is lost. `seconds` is the time
    that one image may take. `deaths` counts the processes that an image ended.
    """

    def __init__(
        self,
        limits: ImageLimits,
        *,
        seconds: float,
        pictures: int = PICTURES,
        module: str = MODULE,
    ) -> None:
        self.deaths = 0
        self._limits = limits
        self._seconds = seconds
        self._pictures = pictures
        self._module = module
        self._idle: list[_Process] = []
        self._closed = False
        self._lock = Lock()
        # A process dies with the thread that started it (PR_SET_PDEATHSIG): this one stays.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="decoder")

    def decode(self, data: bytes) -> Pixels:
        """As `app.vision.decode.decode`; the array is read-only. Raises as `decode_at_least`."""
        return self.decode_at_least(data, 0).pixels

    def decode_at_least(self, data: bytes, side: int) -> Decoded:
        """As `app.vision.decode.decode_at_least`; the array is read-only.

        Raises what that raises. An image that crashes its process, fills its memory or takes too
        long is an ImageBroken or ImageTooLarge. Raises DecoderUnavailable where no process can be
        started.
        """
        check_bytes(data, self._limits)
        process = self._take()
        try:
            answer = process.ask(data, self._seconds, self._limits, side)
        except BaseException as error:
            process.kill()
            if not isinstance(error, Lost):
                raise
            with self._lock:
                self.deaths += 1
            log.warning("decoder.lost", why=error.why, bytes=len(data))
            raise self._refusal(error) from None
        self._give_back(process)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def warm_up(self) -> None:
        """Have one process ready. Raises DecoderUnavailable."""
        self._give_back(self._take())

    def close(self) -> None:
        """End the processes. No `decode` may be under way."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._closed = True
        for process in idle:
            process.close()
        self._starter.shutdown()

    def _take(self) -> "_Process":
        """An idle process, the one used last, or a new one."""
        while True:
            with self._lock:
                process = self._idle.pop() if self._idle else None
            if process is None:
                return self._start()
            if process.lives:
                return process
            log.warning("decoder.lost", why=f"ended while idle: {process.kill()}")

    def _give_back(self, process: "_Process") -> None:
        with self._lock:
            keep = process.asked < self._pictures and not self._closed
            if keep:
                self._idle.append(process)
        if not keep:
            process.close()

    def _start(self) -> "_Process":
        try:
            return self._starter.submit(
                _Process, self._module, self._limits, self._seconds
            ).result()
        except (OSError, Lost) as error:
            log.error("decoder.not_started", exc_info=error)
            raise DecoderUnavailable(
                "No process can be started to decode the image. Try again; if it stays, look at "
                "the service's limits of memory and processes."
            ) from None

    def _refusal(self, lost: Lost) -> ImageBroken:
        if isinstance(lost, TookTooLong):
            return ImageBroken(
                f"The image was not decoded within {self._seconds:g} s. Save it anew, or smaller, "
                "and send it again."
            )
        return ImageBroken(
            "The image cannot be decoded: it made its decoder fail. Save it anew and send it again."
        )


class _Process:
    """One process with our end of its socket. Used by one thread at a time.

    Raises Lost and OSError where it does not come up.
    """

    def __init__(self, module: str, limits: ImageLimits, seconds: float) -> None:
        self.asked = 0
        self._socket, theirs = socket.socketpair()
        memory = os.memfd_create("shared", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(memory, wire.SHARED_BYTES)
        # What could shrink would end the service when it reads, what could grow fill its memory.
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, FIXED)
        self._shared = mmap.mmap(memory, wire.SHARED_BYTES, prot=mmap.PROT_READ)
        with theirs:
            descriptors = (theirs.fileno(), memory)
            arguments = (*descriptors, limits.max_bytes, limits.max_pixels, seconds)
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", module, *map(str, arguments)],
                    cwd=ROOT,
                    env=environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=descriptors,
                )
            except OSError:
                self._socket.close()
                raise
            finally:
                os.close(memory)
        try:
            self._socket.settimeout(START_SECONDS)
            self._head([])
        except (OSError, EOFError):
            raise Lost(f"did not start: {self.kill()}") from None

    @property
    def lives(self) -> bool:
        return self._process.poll() is None

    def ask(
        self, data: bytes, seconds: float, limits: ImageLimits, side: int = 0
    ) -> Decoded | Exception:
        """The picture, or the ImageRefused that the process answers. Raises Lost."""
        self.asked += 1
        files: list[int] = []
        give_up = monotonic() + seconds
        try:
            self._socket.settimeout(seconds)
            # In one piece where it is small, so that the process is woken once.
            self._socket.sendall(wire.REQUEST.pack(len(data), side) + data[:ONE_PIECE])
            if len(data) > ONE_PIECE:
                self._socket.sendall(memoryview(data)[ONE_PIECE:])
            self._socket.settimeout(max(give_up - monotonic(), 1e-3))
            kind, *numbers = self._head(files)
            if kind == wire.PIXELS and files:
                return _decoded(_pixels(files[0], numbers, limits), numbers, limits)
            if kind == wire.SHARED:
                return _decoded(self._copied(numbers), numbers, limits)
            if kind in (wire.REFUSED, wire.FAULT) and numbers[0] <= wire.MAX_WORDS:
                content = json.loads(wire.receive(self._socket, numbers[0]))
                if kind == wire.REFUSED:
                    return wire.refused(content)
                raise Lost(f"{content['error']} in {content['where']}")
        except TimeoutError:
            raise TookTooLong(f"no answer in {seconds:g} s") from None
        except (OSError, EOFError):
            how = self.kill()
            ended = TookTooLong if how == signal.SIGXCPU.name else Lost
            raise ended(f"ended: {how}") from None
        except (ValueError, KeyError, TypeError):
            pass
        finally:
            for file in files:
                os.close(file)
        raise Lost("answered nonsense")

    def close(self) -> None:
        """Let the process end by itself, which it does when its socket is closed."""
        self._socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        self.kill()

    def kill(self) -> str:
        """End the process; says how it ended, where it had done so before."""
        self._socket.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            # Its end of the socket closes a moment before its status can be read.
            self._process.wait(0.2)
        self._process.kill()
        status = self._process.wait()
        return signal.Signals(-status).name if status < 0 else f"status {status}"

    def _copied(self, numbers: Sequence[int]) -> Pixels:
        """The picture in the shared memory: a copy, which the process cannot reach any more.

        Raises ValueError.
        """
        height, width = numbers[:2]
        size = height * width * 3
        if not 0 < size <= wire.SHARED_BYTES:
            raise ValueError("not the size of a picture")
        return np.frombuffer(self._shared[:size], dtype=np.uint8).reshape(height, width, 3)

    def _head(self, files: list[int]) -> tuple[int, ...]:
        """The head of an answer; what comes with it is added to `files`."""
        head, came, _, _ = socket.recv_fds(
            self._socket, wire.HEAD.size, 1, socket.MSG_CMSG_CLOEXEC | socket.MSG_WAITALL
        )
        files.extend(came)
        if len(head) < wire.HEAD.size:
            raise EOFError
        return wire.HEAD.unpack(head)


def _decoded(pixels: Pixels, numbers: Sequence[int], limits: ImageLimits) -> Decoded:
    """With the size of the whole picture. Raises ValueError."""
    height, width = numbers[2:]
    halves = (-(-height // 2), -(-width // 2))
    if pixels.shape[:2] not in ((height, width), halves) or height * width > limits.max_pixels:
        raise ValueError("not the size of a picture")
    return Decoded(pixels, height, width)


def _pixels(file: int, numbers: Sequence[int], limits: ImageLimits) -> Pixels:
    """The picture in a memory file: uint8[height, width, 3], read-only. Raises ValueError.

    A file that could still shrink would end the service when it is read.
    """
    height, width = numbers[:2]
    size = height * width * 3
    sealed = fcntl.fcntl(file, fcntl.F_GET_SEALS) & SEALED == SEALED
    if not sealed or not 0 < height * width <= limits.max_pixels or os.fstat(file).st_size != size:
        raise ValueError("not the file of a picture")
    memory = mmap.mmap(file, size, mmap.MAP_PRIVATE | mmap.MAP_POPULATE, mmap.PROT_READ)
    return np.frombuffer(memory, dtype=np.uint8).reshape(height, width, 3)


def environment() -> dict[str, str]:
    """What a process that sees images may know: no setting of the service, which hold passwords."""
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "ORT_DISABLE_TELEMETRY": "1",
        # A fixed size above which memory goes back to the system when it is freed; the default
        # grows with what was freed before, and would keep up to 64 MB of a large picture.
        "MALLOC_MMAP_THRESHOLD_": "1048576",
    }
