"""A crop as a PNG: lossless, so that a later model can be run on what was kept."""

from app.types import Pixels


def crop_to_png(crop: Pixels) -> bytes:
    """`crop` is uint8[112, 112, 3], RGB; a millisecond and some 25 kB."""
    # 16 MB that a service need not pay that keeps no crops.
    import cv2

    done, encoded = cv2.imencode(".png", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))
    if not done:  # only for a picture that is no picture
        raise ValueError("a crop could not be encoded")
    return encoded.tobytes()
