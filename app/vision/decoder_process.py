"""A process that decodes images and holds nothing worth stealing. Started by `app.vision.decoder`.

Once its libraries are loaded it gives up what decoding does not need: new privileges, further
processes, core files, more memory than the largest picture takes. What then crashes it, fills its
memory or computes without end costs one request.
"""

import ctypes
import fcntl
import math
import mmap
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from PIL import Image

from app.errors import ImageRefused
from app.types import Decoded, ImageLimits, Pixels
from app.vision import decoder_wire as wire
from app.vision.decode import decode_at_least
from app.vision.errors import ImageTooLarge

Decode = Callable[[bytes, ImageLimits, int], Decoded]

# linux/prctl.h
PR_SET_PDEATHSIG: Final = 1
PR_SET_NO_NEW_PRIVS: Final = 38

OPEN_FILES: Final = 32
# Measured with the largest pictures of each kind (tests/vision/test_decoder.py): WebP takes most,
# 19 bytes a pixel; and OpenCV, loaded for the first picture that has to be turned, 175 MB of
# addresses.
BYTES_A_PIXEL: Final = 22
OTHER_MEMORY: Final = 300_000_000

SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def memory_file(pixels: Pixels) -> int:
    """The pixels in a memory file (memfd) that nobody can change any more.

    Written and not mapped: faulting in the pages of a shared map takes twice as long.
    """
    file = os.memfd_create("pixels", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        left = pixels.data.cast("B")
        while left:
            left = left[os.write(file, left) :]
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, SEALS)
    except OSError:
        os.close(file)
        raise MemoryError from None
    return file


def serve(
    connection: socket.socket,
    shared: mmap.mmap,
    limits: ImageLimits,
    seconds: float,
    decode: Decode,
) -> None:
    """Answer requests until the service closes its end, or decoding fails in an unknown way."""
    while True:
        try:
            length, side = wire.REQUEST.unpack(wire.receive(connection, wire.REQUEST.size))
        except EOFError:
            return
        _allow_seconds(seconds)
        broken = False
        try:
            image = bytes(wire.receive(connection, length))
            _answer(connection, shared, decode(image, limits, side))
            continue
        except ImageRefused as refusal:
            answer = wire.refusal(refusal)
        except MemoryError:
            answer = wire.refusal(
                ImageTooLarge("There is not enough memory for this image. Send a smaller one.")
            )
        except Exception as fault:
            answer, broken = wire.words(wire.FAULT, fault_of(fault)), True
        # Only now, when the memory that the error held on to is given back.
        connection.sendall(answer)
        if broken:
            return


def _answer(connection: socket.socket, shared: mmap.mmap, decoded: Decoded) -> None:
    pixels = decoded.pixels
    size = (*pixels.shape[:2], decoded.height, decoded.width)
    if pixels.nbytes <= wire.SHARED_BYTES:
        shared[: pixels.nbytes] = pixels.data.cast("B")
        connection.sendall(wire.HEAD.pack(wire.SHARED, *size))
        return
    file = memory_file(pixels)
    socket.send_fds(connection, [wire.HEAD.pack(wire.PIXELS, *size)], [file])
    os.close(file)


def fault_of(error: BaseException) -> dict[str, Any]:
    """Its type and place, never its words: they may hold what the image holds."""
    places = traceback.extract_tb(error.__traceback__)[-4:]
    where = [f"{Path(place.filename).name}:{place.lineno}" for place in places]
    return {"error": type(error).__name__, "where": where}


def confine(limits: ImageLimits, *, more_memory: int = 0) -> None:
    """Give up what decoding does not need, but for `more_memory`. It cannot be taken back."""
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((PR_SET_PDEATHSIG, signal.SIGKILL), (PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, value, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")
    memory = _addresses() + OTHER_MEMORY + 4 * limits.max_bytes + more_memory
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),  # heeded for every user but root
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_FSIZE, 3 * limits.max_pixels),
        (resource.RLIMIT_AS, memory + BYTES_A_PIXEL * limits.max_pixels),
    ):
        least = _least(most, resource.getrlimit(what)[1])
        resource.setrlimit(what, (least, least))


def _addresses() -> int:
    """Bytes of addresses that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _allow_seconds(seconds: float) -> None:
    """End this process by SIGXCPU when it has computed for so long from now on."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    most = math.ceil(used.ru_utime + used.ru_stime + seconds)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (_least(most, hard), hard))


def _least(most: int, hard: int) -> int:
    return most if hard == resource.RLIM_INFINITY else min(most, hard)


def main(arguments: Sequence[str], decode: Decode = decode_at_least) -> None:
    """`arguments`: file descriptors of socket and shared memory, most bytes, most pixels, seconds
    a picture."""
    descriptor, memory, max_bytes, max_pixels, seconds = arguments
    limits = ImageLimits(max_bytes=int(max_bytes), max_pixels=int(max_pixels))
    # The service is stopped by these and lets pictures come to their end; then it closes its end.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    Image.init()  # finds its readers now, not while a picture waits
    os.chdir("/")
    shared = mmap.mmap(int(memory), wire.SHARED_BYTES)
    os.close(int(memory))
    confine(limits)
    # What codecs print is no log line, and may hold what an image holds: it goes where standard
    # output goes, which is nowhere.
    os.dup2(1, 2)
    with socket.socket(fileno=int(descriptor)) as connection:
        connection.sendall(wire.HEAD.pack(wire.READY, 0, 0, 0, 0))
        serve(connection, shared, limits, float(seconds), decode)


if __name__ == "__main__":
    main(sys.argv[1:])
