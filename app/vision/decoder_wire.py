"""What the service and its decoder processes say to each other, over a socket pair.

A request is REQUEST and so many bytes of an image. An answer is HEAD and, for PIXELS, a sealed
memory file (memfd) that comes with it; for SHARED, pixels at the start of the memory that both
map; for the others a JSON object behind it.
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

REQUEST: Final = struct.Struct(">QI")
"""Bytes of the image, and the side down to which half its size will do; 0 for the whole."""

HEAD: Final = struct.Struct(">BIIII")
"""Kind and four numbers: for PIXELS and SHARED the height and width that come and those of the
whole picture, for the others bytes of JSON and zeros."""

SHARED_BYTES: Final = 1 << 20
"""Memory that the service and a process both map, for pictures that are no larger. A memory file
a picture would take longer than decoding one of 250 x 250 pixels."""

READY: Final = 0
PIXELS: Final = 1
REFUSED: Final = 2
FAULT: Final = 3
SHARED: Final = 4

MAX_WORDS: Final = 1 << 16
"""Bytes of JSON in an answer."""

REFUSALS: Final[Mapping[str, type[ImageRefused]]] = {
    each.code: each
    for each in (ImageEmpty, ImageTypeUnsupported, ImageTooLarge, ImageBroken, ImageAnimated)
}


def words(kind: int, content: Mapping[str, Any]) -> bytes:
    """An answer without pixels."""
    text = json.dumps(content).encode()
    return HEAD.pack(kind, len(text), 0, 0, 0) + text


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
