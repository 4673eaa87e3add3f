"""What is checked of an image without looking into it: how many bytes came."""

from app.types import ImageLimits
from app.vision.errors import ImageEmpty, ImageTooLarge


def check_bytes(data: bytes, limits: ImageLimits) -> None:
    """Raises ImageEmpty and ImageTooLarge."""
    if not data:
        raise ImageEmpty("The image is empty. Send the bytes of a JPEG, PNG or WebP file.")
    if len(data) > limits.max_bytes:
        raise ImageTooLarge(
            f"The image has {len(data):,} bytes; at most {limits.max_bytes:,} are accepted. "
            "Send a smaller one.",
            bytes=len(data),
            max_bytes=limits.max_bytes,
        )
