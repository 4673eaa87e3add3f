"""A crop as a PNG: lossless, so that a later model can be run on what was kept."""

import cv2

from app.types import Pixels


def crop_to_png(crop: Pixels) -> bytes:
    """`crop` is uint8[112, 112, 3], RGB; a millisecond and some 25 kB."""
    done, encoded = cv2.imencode(".png", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))
    if not done:  # only for a picture that is no picture
        raise ValueError("a crop could not be encoded")
    return encoded.tobytes()
