"""Images as callers have them, made into the bytes of a file."""

import io
import os
from pathlib import Path
from typing import IO, Any, Protocol, runtime_checkable


class Picture(Protocol):
    """What is asked of a PIL image."""

    @property
    def mode(self) -> str: ...

    def save(self, fp: IO[bytes], /, format: str | None = None, **params: Any) -> None: ...


class Pixels(Protocol):
    """What is asked of a NumPy array: uint8[H, W, 3], RGB."""

    @property
    def __array_interface__(self) -> dict[str, Any]: ...


@runtime_checkable
class Readable(Protocol):
    """A file that is open for reading bytes."""

    def read(self) -> bytes: ...


Upload = str | os.PathLike[str] | bytes | bytearray | memoryview | Readable | Picture | Pixels
"""A path, the bytes of a JPEG, PNG or WebP file, an open file, a PIL image, or a NumPy array."""


def read_image(upload: Upload) -> bytes:
    """The bytes of a file that holds `upload`; pictures and arrays become PNG, upright.

    Raises OSError for a file that cannot be read, TypeError and ValueError for what is no image,
    ImportError where a picture or an array comes and Pillow is not installed.
    """
    if isinstance(upload, bytes):
        return upload
    if isinstance(upload, bytearray | memoryview):
        return bytes(upload)
    if isinstance(upload, str | os.PathLike):
        return Path(upload).read_bytes()
    if isinstance(upload, Readable):
        content = upload.read()
        if not isinstance(content, bytes):
            raise TypeError("the file gives text: open it for reading bytes ('rb')")
        return content
    return _png(upload)


def _png(picture: object) -> bytes:
    # A PIL image has an array interface too, so it is asked for first.
    is_picture = hasattr(picture, "save") and hasattr(picture, "mode")
    if not is_picture and not hasattr(picture, "__array_interface__"):
        raise TypeError(
            f"{type(picture).__name__} is no image: send a path, bytes, an open file, a PIL image "
            "or a NumPy array"
        )
    try:
        # Late: paths, bytes and files are sent without Pillow.
        from PIL import Image, ImageOps
    except ImportError:
        raise ImportError(
            "PIL images and NumPy arrays are sent as PNG, which takes Pillow: "
            "pip install 'rollcall-client[images]'"
        ) from None
    image: Any = picture if is_picture else Image.fromarray(_checked(picture), "RGB")
    # PNG would lose the orientation that a camera noted beside the pixels.
    upright = ImageOps.exif_transpose(image)
    if upright.mode not in {"RGB", "L"}:
        upright = upright.convert("RGB")
    written = io.BytesIO()
    upright.save(written, "PNG", compress_level=1)
    return written.getvalue()


def _checked(array: Any) -> Any:
    """Raises ValueError for other shapes and types: guessing would send another picture."""
    interface = array.__array_interface__
    shape, kind = tuple(interface["shape"]), interface["typestr"]
    if len(shape) != 3 or shape[2] != 3 or 0 in shape or kind != "|u1":
        raise ValueError(
            f"an array must be uint8[height, width, 3] in RGB; this one is {kind}{list(shape)}"
        )
    return array
