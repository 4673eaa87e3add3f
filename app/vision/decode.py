"""Bytes to an upright picture. What is not certainly whole is refused, never half decoded.

The service runs this in processes of its own (`app.vision.decoder`), training in its own process.

The type is told by content; width and height are read from the header and checked before a pixel
is decoded. JPEG goes through simplejpeg (libjpeg-turbo, about three times as fast as Pillow),
everything else and the JPEGs it cannot convert (CMYK) through Pillow.
"""

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from app.types import Decoded, ImageLimits, Pixels
from app.vision.errors import ImageAnimated, ImageBroken, ImageTooLarge, ImageTypeUnsupported
from app.vision.exif import UPRIGHT, orientation_of_jpeg, orientation_of_tiff
from app.vision.limits import check_bytes
from app.vision.png import is_complete

# Our own limit is checked before Pillow sees the file, and may be larger than Pillow's.
Image.MAX_IMAGE_PIXELS = None

MAX_SCANS: Final = 64
MAX_SCANNED: Final = 1_000_000_000
"""Most scans of a progressive JPEG, and most pixels in all of them together; cameras write about
ten scans. Each one is a pass over the whole picture, so that a small file with thousands would
compute for minutes."""

# What Pillow and its codecs raise for broken files, beyond the UnidentifiedImageError and
# "truncated" that are OSErrors.
PILLOW_ERRORS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    RuntimeError,
    struct.error,
    zlib.error,
)

OTHER_TYPES: Final[tuple[tuple[bytes, str], ...]] = (
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"%PDF", "PDF"),
    (b"PK\x03\x04", "ZIP"),
    (b"\0\0\x01\0", "ICO"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"<svg", "SVG"),
    (b"<?xml", "XML or SVG"),
    (b"<!DOCTYPE", "HTML"),
    (b"<html", "HTML"),
)


MAX_SIDE: Final = 65_535
"""As long as a side can be in JPEG. Pillow keeps account of every row: a PNG that is one pixel wide
would take four times the memory and many times the time of a square one."""

BAND: Final = 256
"""Rows that Pillow converts at a time: of a large picture with transparency, it would otherwise
hold four copies."""


TRANSPOSED: Final = 5
"""EXIF orientations from this on exchange height and width."""


class Size(NamedTuple):
    width: int
    height: int


def decode(data: bytes, limits: ImageLimits) -> Pixels:
    """The picture in `data`, JPEG, PNG or WebP: uint8[H, W, 3], RGB, upright, contiguous.

    EXIF orientation is applied once. Sixteen bits become the upper eight, grey and palette become
    RGB, transparent pixels are laid over white, colour profiles are ignored. Raises ImageEmpty,
    ImageTypeUnsupported, ImageTooLarge, ImageAnimated or ImageBroken.
    """
    return decode_at_least(data, limits, 0).pixels


def decode_at_least(data: bytes, limits: ImageLimits, side: int) -> Decoded:
    """As `decode`, at half the size where both halves of its sides are `side` pixels or longer.

    A `side` of 0 is for the whole picture. Only JPEG is cheaper at half the size; all others come
    whole.
    """
    check_bytes(data, limits)
    kind = _kind(data)
    size = SIZES[kind](data)
    _check(size, limits)
    try:
        if kind == "JPEG" and side and min(size) >= 2 * side:
            return _jpeg(data, 2)
        return Decoded.whole(DECODERS[kind](data))
    except MemoryError:
        raise ImageTooLarge(
            "There is not enough memory for this image. Send a smaller one."
        ) from None


def _kind(data: bytes) -> str:
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    raise ImageTypeUnsupported(
        f"The content is {_other(data)}; JPEG, PNG and WebP are accepted. Convert the image first."
    )


def _other(data: bytes) -> str:
    if data[4:8] == b"ftyp":
        return "HEIC, AVIF or a video"
    return next(
        (name for start, name in OTHER_TYPES if data.startswith(start)), "no image known here"
    )


def _check(size: Size, limits: ImageLimits) -> None:
    if size.width < 1 or size.height < 1:
        raise _broken("its header says that it has no pixels")
    if max(size) > MAX_SIDE:
        raise ImageTooLarge(
            f"The image has {size.width} x {size.height} pixels; no side may be longer than "
            f"{MAX_SIDE:,}. Cut it.",
            width=size.width,
            height=size.height,
            max_side=MAX_SIDE,
        )
    if size.width * size.height > limits.max_pixels:
        raise ImageTooLarge(
            f"The image has {size.width} x {size.height} pixels; at most {limits.max_pixels:,} "
            "are accepted. Send a smaller one.",
            width=size.width,
            height=size.height,
            max_pixels=limits.max_pixels,
        )


def _broken(why: str) -> ImageBroken:
    return ImageBroken(f"The image cannot be decoded: {why}. Save it anew and send it again.")


def _jpeg_size(data: bytes) -> Size:
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise _broken(str(error)) from None
    return Size(int(width), int(height))


def _png_size(data: bytes) -> Size:
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise _broken("its header is missing or cut off")
    return Size(*struct.unpack(">II", data[16:24]))


def _webp_size(data: bytes) -> Size:
    """Size by the first chunk: VP8 (lossy), VP8L (lossless) or VP8X (extended: the canvas)."""
    if len(data) < 30:
        raise _broken("its header is cut off")
    # RIFF pads to even, and writers differ in whether the last pad is counted.
    if int.from_bytes(data[4:8], "little") + 8 > len(data) + 1:
        raise _broken("it is cut off")
    match data[12:16]:
        case b"VP8 ":
            width, height = struct.unpack("<HH", data[26:30])
            return Size(width & 0x3FFF, height & 0x3FFF)
        case b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            return Size((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        case b"VP8X":
            return Size(
                int.from_bytes(data[24:27], "little") + 1,
                int.from_bytes(data[27:30], "little") + 1,
            )
        case _:
            raise _broken("its first chunk is not one of WebP's")


def _jpeg(data: bytes, divisor: int = 1) -> Decoded:
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        # Inside compressed data 0xFF is always followed by 0x00 or a restart mark, so that this
        # counts the scans, and those of a thumbnail.
        scans = data.count(b"\xff\xda")
        if scans > MAX_SCANS or scans * int(width) * int(height) > MAX_SCANNED:
            raise _broken(f"it takes {scans} scans to draw")
        if colours.lower() in ("cmyk", "ycck"):
            pixels = _pillow(data, "JPEG")
        else:
            # Strict turns libjpeg's warnings into errors: without it the lower half of a
            # truncated picture would be grey.
            pixels = simplejpeg.decode_jpeg(
                data,
                colorspace="RGB",
                min_height=-(-height // divisor),
                min_width=-(-width // divisor),
                strict=True,
            )
    except ValueError as error:
        raise _broken(str(error)) from None
    turned = upright(pixels, orientation := orientation_of_jpeg(data))
    return Decoded(turned, *((height, width) if orientation < TRANSPOSED else (width, height)))


def _other_type(kind: str) -> Callable[[bytes], Pixels]:
    def decode_other(data: bytes) -> Pixels:
        try:
            with Image.open(io.BytesIO(data), formats=(kind,)) as image:
                if getattr(image, "n_frames", 1) > 1:
                    raise ImageAnimated("The image is animated. Send the one frame that is meant.")
                image.load()
                if kind == "PNG" and _may_lack_rows(image) and not is_complete(data):
                    raise _broken("pixels are missing at its end")
                pixels = _rgb(image)
                exif = image.info.get("exif")
        except PILLOW_ERRORS as error:
            raise _broken(_words(error)) from None
        return upright(pixels, orientation_of_tiff(exif) if isinstance(exif, bytes) else UPRIGHT)

    return decode_other


def _may_lack_rows(image: Image.Image) -> bool:
    """Whether the last row is blank, as one is that was never there. Interlaced: any could be."""
    last = image.crop((0, image.height - 1, image.width, image.height))
    return bool(image.info.get("interlace")) or not any(last.tobytes())


def _pillow(data: bytes, kind: str) -> Pixels:
    try:
        with Image.open(io.BytesIO(data), formats=(kind,)) as image:
            image.load()
            return _rgb(image)
    except PILLOW_ERRORS as error:
        raise _broken(_words(error)) from None


def _words(error: BaseException) -> str:
    """The decoder's own words, without the address of the buffer that Pillow puts into them."""
    words = str(error).partition(" <")[0].rstrip(".") or type(error).__name__
    return words if "cannot identify" not in words else "its structure is damaged"


def _rgb(image: Image.Image) -> Pixels:
    """Any of Pillow's modes as uint8[H, W, 3]."""
    pixels = np.empty((image.height, image.width, 3), dtype=np.uint8)
    for top in range(0, image.height, BAND):
        bottom = min(top + BAND, image.height)
        pixels[top:bottom] = _band(image.crop((0, top, image.width, bottom)))
    return pixels


def _band(image: Image.Image) -> Pixels:
    if image.mode.startswith(("I", "F")):
        # Pillow's own conversion clips sixteen bits at 255 instead of scaling them.
        grey = np.asarray(image)
        if grey.dtype.kind == "f":
            raise _broken("its pixels are floating-point numbers")
        eight = (np.clip(grey, 0, 65535).astype(np.uint16) >> 8).astype(np.uint8)
        return np.repeat(eight[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return np.asarray(white)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """`pixels` turned and mirrored as EXIF `orientation` 1 to 8 says (tag 0x0112)."""
    if orientation == UPRIGHT:
        return pixels
    # Fifteen megabytes of each decoder process, which only turned pictures need.
    import cv2

    match orientation:
        case 2:
            turned = cv2.flip(pixels, 1)
        case 3:
            turned = cv2.rotate(pixels, cv2.ROTATE_180)
        case 4:
            turned = cv2.flip(pixels, 0)
        case 5:
            turned = cv2.transpose(pixels)
        case 6:
            turned = cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE)
        case 7:
            turned = cv2.flip(cv2.transpose(pixels), -1)
        case _:
            turned = cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE)
    return np.asarray(turned, dtype=np.uint8)


SIZES: Final[Mapping[str, Callable[[bytes], Size]]] = {
    "JPEG": _jpeg_size,
    "PNG": _png_size,
    "WebP": _webp_size,
}
DECODERS: Final[Mapping[str, Callable[[bytes], Pixels]]] = {
    "JPEG": lambda data: _jpeg(data).pixels,
    "PNG": _other_type("PNG"),
    "WebP": _other_type("WEBP"),
}
