"""A worker process that fails in the way that an image asks for, and looks at what asks nothing."""

import os
import stat
import sys
import time

from app.types import Decoded, ImageLimits
from app.vision.worker_process import main
from tests.vision.failing_decoder import WAYS, decode_or_fail


def talk_nonsense() -> None:
    for each in range(3, 32):
        try:
            is_socket = stat.S_ISSOCK(os.fstat(each).st_mode)
        except OSError:
            continue
        if is_socket:
            os.write(each, b"\x07nonsense of some length")
    time.sleep(600)


WAYS[b"nonsense"] = talk_nonsense


def decode(data: bytes, limits: ImageLimits, side: int) -> Decoded:
    if data.startswith(b"slowly"):
        time.sleep(0.3)
        data = data.removeprefix(b"slowly")
    return decode_or_fail(data, limits, side)


if __name__ == "__main__":
    main(sys.argv[1:], decode)
