"""A tight cut-out of a face made into a picture that a detector finds the face in."""

from typing import Final

import cv2

from app.types import ImageLimits, Pixels
from app.vision.decode import decode

MARGIN: Final = 0.5
"""What is put around, as a share of the longer side: as much as a crop lacks of hair and chin."""
SHORTER: Final = 224
"""The shorter side of the cut-out in the new picture, in pixels."""
_LIMITS: Final = ImageLimits(max_bytes=10_000_000, max_pixels=10_000_000)


def framed(image: bytes, width: float, height: float) -> bytes:
    """The cut-out in `image` at the proportions `width` to `height` that it had in its photo, with
    its edges drawn out around it, as PNG.

    Cut-outs that were squeezed into a square need their shape again more than anything else
    (benchmarks/cut_outs.py; docs/moving.md has its figures). Raises ImageRefused for what is no
    image.
    """
    pixels = decode(image, _LIMITS)
    scale = SHORTER / min(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    shaped = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
    margin = round(max(size) * MARGIN)
    whole = cv2.copyMakeBorder(shaped, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    return _png(whole)


def _png(pixels: Pixels | cv2.typing.MatLike) -> bytes:
    done, encoded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    if not done:
        raise ValueError("a picture could not be encoded")
    return encoded.tobytes()
