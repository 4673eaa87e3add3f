"""A process that has packs loaded, and the workers that are forked from it. Started by
`app.vision.workers`.

The weights are read once, by a process that never sees an image; a worker shares them until it
ends, and is there within milliseconds. It decodes, detects, aligns and embeds, and holds nothing
worth stealing: it gives up what that does not need (new privileges, further processes, core files,
files, more memory than the largest picture takes). What then crashes it, fills its memory or
computes without end costs one request.
"""

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
from PIL import Image

from app import memory
from app.errors import ImageRefused, RollcallError
from app.stages import Stages
from app.types import Decoded, ImageLimits, Pixels
from app.vision import worker_wire as wire
from app.vision.decode import decode_at_least
from app.vision.decoder_process import Decode, confine, fault_of
from app.vision.decoder_wire import receive
from app.vision.detect import open_detector
from app.vision.embed import Recognizer
from app.vision.errors import DeviceFailed, EmbeddingFailed, ImageTooLarge
from app.vision.pack import Pack, read_pack
from app.vision.sight import Sight

NETWORKS: Final = 500_000_000
"""Bytes of memory that the networks of a worker may take, beside its picture."""


class NotDecoded(Exception):
    """Decoding failed in a way that no error stands for."""


class Eye:
    """Decodes in this process, which a picture that takes longer than `seconds` ends: SIGALRM."""

    def __init__(self, limits: ImageLimits, seconds: float, decode: Decode) -> None:
        self._limits = limits
        self._seconds = seconds
        self._decode = decode

    def decode(self, data: bytes) -> Pixels:
        return self.decode_at_least(data, 0).pixels

    def decode_at_least(self, data: bytes, side: int) -> Decoded:
        signal.setitimer(signal.ITIMER_REAL, self._seconds)
        try:
            return self._decode(data, self._limits, side)
        except ImageRefused:
            raise
        except MemoryError:
            raise ImageTooLarge(
                "There is not enough memory for this image. Send a smaller one."
            ) from None
        except Exception as fault:
            raise NotDecoded from fault
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


def serve(stream: socket.socket, sights: Sequence[Sight]) -> None:
    """Answer until the service closes its end, or something fails in an unknown way."""
    while True:
        try:
            head = wire.ASK.unpack(receive(stream, wire.ASK.size))
            data = bytes(receive(stream, head[-1]))
        except EOFError:
            return
        try:
            answer = _answer(sights[head[1]], head[0], head[2], data)
        except (ImageRefused, EmbeddingFailed, DeviceFailed) as refusal:
            answer = wire.words(wire.REFUSED, wire.told(refusal))
        except NotDecoded as broken:
            stream.sendall(wire.words(wire.FAULT, fault_of(broken.__cause__ or broken)))
            return
        except Exception as fault:
            stream.sendall(wire.words(wire.BUG, fault_of(fault)))
            return
        stream.sendall(answer)


def _answer(sight: Sight, kind: int, most: int, data: bytes) -> bytes:
    if kind == wire.EMBED:
        crops = np.frombuffer(data, dtype=np.uint8).reshape(-1, *wire.CROP)
        begin = perf_counter()
        raw = sight.recognizer.raw(crops)
        return wire.embedded(raw, perf_counter() - begin)
    stages = Stages()
    return wire.seen(sight.see(data, most, kind == wire.LOOK_AND_EMBED, stages), stages)


class Host:
    """Forks workers and tells of their ends. `control` keeps messages apart."""

    def __init__(
        self, control: socket.socket, sights: Sequence[Sight], limits: ImageLimits
    ) -> None:
        self._control = control
        self._sights = sights
        self._limits = limits
        self._workers: set[int] = set()
        self._ends, self._wakes = os.pipe()

    def run(self) -> None:
        """Until the service closes its end. Workers die with this process."""
        for end in (self._ends, self._wakes):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)
        while True:
            ready, _, _ = select.select([self._control.fileno(), self._ends], [], [])
            if self._ends in ready:
                os.read(self._ends, 4096)
                self._tell_of_ends()
            if self._control.fileno() in ready and not self._obey():
                return

    def _obey(self) -> bool:
        message, files, _, _ = socket.recv_fds(self._control, 4096, 1, socket.MSG_CMSG_CLOEXEC)
        if not message:
            return False
        asked = json.loads(message)
        if asked["do"] == wire.FORK:
            self._fork(socket.socket(fileno=files[0]))
        elif asked["do"] == wire.KILL and asked["pid"] in self._workers:
            os.kill(asked["pid"], signal.SIGKILL)
        elif asked["do"] == wire.WARM:
            for sight in self._sights:
                sight.warm_up()
            memory.settle()
            self._tell(done=wire.WARM)
        return True

    def _fork(self, stream: socket.socket) -> None:
        with stream:
            try:
                worker = os.fork()
            except OSError as error:
                self._tell(done=wire.FORK, failed=error.strerror)
                return
            if not worker:
                self._work(stream)
        self._workers.add(worker)
        self._tell(done=wire.FORK, pid=worker)

    def _work(self, stream: socket.socket) -> None:
        """The life of a worker. Never returns: what is above it is not its own."""
        try:
            signal.set_wakeup_fd(-1)
            self._control.close()
            os.close(self._ends)
            os.close(self._wakes)
            confine(self._limits, more_memory=NETWORKS)
            stream.setblocking(True)
            stream.sendall(wire.READY)
            serve(stream, self._sights)
        finally:
            os._exit(0)

    def _tell_of_ends(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                worker, status = os.waitpid(-1, os.WNOHANG)
                if not worker:
                    return
                self._workers.discard(worker)
                self._tell(ended=worker, status=os.waitstatus_to_exitcode(status))

    def _tell(self, **what: Any) -> None:
        with contextlib.suppress(BrokenPipeError):  # the service is gone, which is seen next
            self._control.send(json.dumps(what).encode())


def main(arguments: Sequence[str], decode: Decode = decode_at_least) -> None:
    """`arguments`: file descriptor of the control socket, most bytes, most pixels, seconds that
    decoding a picture may take, and the folders of the packs."""
    descriptor, max_bytes, max_pixels, seconds, *packs = arguments
    limits = ImageLimits(max_bytes=int(max_bytes), max_pixels=int(max_pixels))
    # The service is stopped by these and lets pictures come to their end; then it closes its end.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    Image.init()  # finds its readers now, not while a picture waits
    with socket.socket(fileno=int(descriptor)) as control:
        eye = Eye(limits, float(seconds), decode)
        try:
            read = [read_pack(Path(each)) for each in packs]
            sights = [_open(each, eye) for each in read]
        except RollcallError as error:
            control.send(json.dumps({"refused": wire.told(error)}).encode())
            return
        os.chdir("/")
        facts = [
            {"pack": wire.pack_told(pack), "providers": sight.recognizer.providers}
            for pack, sight in zip(read, sights, strict=True)
        ]
        control.send(json.dumps({"loaded": facts}).encode())
        # What codecs print is no log line, and may hold what an image holds: it goes where
        # standard output goes, which is nowhere.
        os.dup2(1, 2)
        gc.freeze()  # a collection would make a copy of every page that holds an object
        Host(control, sights, limits).run()


def _open(pack: Pack, eye: Eye) -> Sight:
    return Sight(open_detector(pack.detector, "cpu"), Recognizer(pack.recognizer, "cpu"), eye)


if __name__ == "__main__":
    main(sys.argv[1:])
