"""Whether a PNG holds all the pixels that its header promises.

Pillow takes the end of the compressed stream for the end of the picture and leaves the missing
rows black; half a picture is what decoding must never give.
"""

import zlib
from collections.abc import Iterator
from typing import Final

CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples of a pixel by colour type (PNG specification, table 11.1)."""

ADAM7: Final = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
"""First column, first row, column step and row step of each pass of an interlaced picture."""

PIECE: Final = 1 << 18


def is_complete(data: bytes) -> bool:
    """Whether the pixel stream of a PNG with a sound header is as long as the header says."""
    expected = stream_length(data)
    stream = zlib.decompressobj()
    for part in _pixel_chunks(data):
        while part and expected > 0:
            expected -= len(stream.decompress(part, PIECE))
            part = stream.unconsumed_tail  # noqa: PLW2901
        if expected <= 0:
            return True
    return False


def stream_length(data: bytes) -> int:
    """Bytes of the unpacked pixel stream: rows with one filter byte each, by pass if interlaced."""
    width, height = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    bits = data[24] * CHANNELS.get(data[25], 1)
    passes = ADAM7 if data[28] else ((0, 0, 1, 1),)
    return sum(
        rows * (1 + (columns * bits + 7) // 8)
        for left, top, step_x, step_y in passes
        if (columns := -(-(width - left) // step_x)) > 0
        and (rows := -(-(height - top) // step_y)) > 0
    )


def _pixel_chunks(data: bytes) -> Iterator[bytes]:
    at = 8
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IDAT":
            yield data[at + 8 : at + 8 + length]
        at += 12 + length
