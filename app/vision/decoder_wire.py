"""What the service and its decoder processes say to each other, over a socket pair.

A request is LENGTH and so many bytes of an image. An answer is HEAD and, for PIXELS, a sealed
memory file (memfd) that comes with it; for the others a JSON object behind it.
"""

import json
import socket
import struct
from collections.abc import Mapping
from typing import Any, Final

from app.errors import ImageRefused
from app.vision.errors import (
    ImageAnimated,
    ImageBroken,
    ImageEmpty,
    ImageTooLarge,
    ImageTypeUnsupported,
)

LENGTH: Final = struct.Struct(">Q")
HEAD: Final = struct.Struct(">BII")
"""Kind and two numbers: height and width for PIXELS, bytes of JSON and 0 for the others."""

READY: Final = 0
PIXELS: Final = 1
REFUSED: Final = 2
FAULT: Final = 3

MAX_WORDS: Final = 1 << 16
"""Bytes of JSON in an answer."""

REFUSALS: Final[Mapping[str, type[ImageRefused]]] = {
    each.code: each
    for each in (ImageEmpty, ImageTypeUnsupported, ImageTooLarge, ImageBroken, ImageAnimated)
}


def words(kind: int, content: Mapping[str, Any]) -> bytes:
    """An answer without pixels."""
    text = json.dumps(content).encode()
    return HEAD.pack(kind, len(text), 0) + text


def refusal(error: ImageRefused) -> bytes:
    return words(REFUSED, {"code": error.code, "detail": error.detail, "facts": error.facts})


def refused(content: Mapping[str, Any]) -> ImageRefused:
    """The error that `refusal` was given. Raises KeyError and TypeError for what is none."""
    return REFUSALS[content["code"]](str(content["detail"]), **content["facts"])


def receive(connection: socket.socket, size: int) -> bytearray:
    """Exactly `size` bytes. Raises EOFError where the other side ends before."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        came = connection.recv_into(view)
        if not came:
            raise EOFError
        view = view[came:]
    return data
