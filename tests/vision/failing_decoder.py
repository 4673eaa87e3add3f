"""A decoder process that fails in the way that an image asks for, and decodes what asks nothing.

Codecs do not fail on demand; everything around them here is the real thing.
"""

import os
import signal
import sys
import time

from app.types import Decoded, ImageLimits
from app.vision.decode import decode_at_least
from app.vision.decoder_process import main


def fault() -> None:
    raise ZeroDivisionError("private words")


def hoard() -> None:
    blocks = []
    while True:
        blocks.append(bytearray(1 << 24))


def compute() -> None:
    while True:
        pass


def fork() -> None:
    if os.geteuid() == 0:  # whom the limit does not bind
        os.setuid(65534)
    os.fork()


def talk_nonsense() -> None:
    os.write(int(sys.argv[1]), b"\x01nonsense of some length")
    time.sleep(600)


WAYS = {
    b"segfault": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    b"abort": os.abort,
    b"killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    b"exit": lambda: os._exit(0),
    b"fault": fault,
    b"memory": hoard,
    b"compute": compute,
    b"sleep": lambda: time.sleep(600),
    b"fork": fork,
    b"nonsense": talk_nonsense,
}


def decode_or_fail(data: bytes, limits: ImageLimits, side: int) -> Decoded:
    WAYS.get(data, lambda: None)()
    return decode_at_least(data, limits, side)


if __name__ == "__main__":
    main(sys.argv[1:], decode_or_fail)
