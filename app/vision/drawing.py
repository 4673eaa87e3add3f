"""A picture with what was found marked on it, for people to look at."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from app.types import ImageLimits
from app.vision.decode import decode

# A file that the service took; it is decoded here for its owner.
_LIMITS: Final = ImageLimits(max_bytes=1_000_000_000, max_pixels=400_000_000)
_LINE: Final = (80, 250, 123)
_EDGE: Final = (20, 20, 20)


@dataclass(frozen=True, slots=True)
class Mark:
    """A face to draw. box: x, y, width, height; points: x, y; pixels of the upright picture."""

    box: tuple[float, float, float, float]
    points: Sequence[tuple[float, float]]
    label: str


def marked(photo: bytes, marks: Sequence[Mark], *, png: bool = False) -> bytes:
    """The upright picture with boxes, landmarks and labels, as JPEG or PNG.

    Raises ImageRefused for what is no picture.
    """
    image = Image.fromarray(decode(photo, _LIMITS))
    draw = ImageDraw.Draw(image)
    thick = max(2, round(max(image.size) / 400))
    font = ImageFont.load_default(8 * thick)
    for mark in marks:
        x, y, width, height = mark.box
        corners = (x, y, x + width, y + height)
        draw.rectangle(corners, outline=_EDGE, width=2 * thick)
        draw.rectangle(corners, outline=_LINE, width=thick)
        for across, down in mark.points:
            spot = (across - thick, down - thick, across + thick, down + thick)
            draw.ellipse(spot, fill=_LINE, outline=_EDGE)
        place = (x, y - 9 * thick if y > 9 * thick else y + thick)
        draw.text(place, mark.label, fill=_LINE, font=font, stroke_width=thick, stroke_fill=_EDGE)
    out = io.BytesIO()
    image.save(out, "PNG" if png else "JPEG", **({} if png else {"quality": 92}))
    return out.getvalue()
