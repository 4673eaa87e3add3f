"""What a file of the hostile corpus is, and the pieces that PNG files are made of."""

import struct
import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class HostileFile:
    """`expect`: the code it is refused with, None if it decodes. `shows`: then it is the photo.

    `unsure`: whether such a file is refused or decoded is up to the codec; both are right.
    """

    name: str
    data: bytes
    expect: str | None
    shows: bool = False
    unsure: bool = False


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_with_size(png: bytes, width: int, height: int) -> bytes:
    """`png` with another size in its header and the checksum that belongs to it."""
    return png[:8] + chunk(b"IHDR", struct.pack(">II", width, height) + png[24:29]) + png[33:]


def png_with_chunk(png: bytes, name: bytes, body: bytes) -> bytes:
    return png[:33] + chunk(name, body) + png[33:]
