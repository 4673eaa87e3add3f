"""The one thing we want of EXIF: how the camera was held.

Sixty lines instead of a library, because this is read of every photo before anything is known of
who sent it: no allocation, no recursion, and whatever is malformed means "as it is".
"""

from typing import Final, Literal

UPRIGHT: Final = 1
ORIENTATION_TAG: Final = 0x0112


def orientation_of_jpeg(data: bytes) -> int:
    """EXIF orientation 1 to 8 of a JPEG file; 1 where it says nothing sensible."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == 0xDA:  # pixels begin: no metadata can follow
            break
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            return orientation_of_tiff(data[at + 10 : at + 2 + length])
        at += 2 + length
    return UPRIGHT


def orientation_of_tiff(data: bytes) -> int:
    """The same for the TIFF structure inside, as PNG and WebP carry it.

    Layout (TIFF 6.0, section 2): byte order, 42, offset of the first directory; a directory is a
    count and entries of twelve bytes: tag, type, count, value.
    """
    if data[:6] == b"Exif\0\0":
        data = data[6:]
    order: Literal["little", "big"]
    match data[:4]:
        case b"II*\0":
            order = "little"
        case b"MM\0*":
            order = "big"
        case _:
            return UPRIGHT
    directory = int.from_bytes(data[4:8], order)
    count = int.from_bytes(data[directory : directory + 2], order)
    for at in range(directory + 2, min(directory + 2 + 12 * count, len(data) - 11), 12):
        if int.from_bytes(data[at : at + 2], order) == ORIENTATION_TAG:
            value = int.from_bytes(data[at + 8 : at + 10], order)
            return value if 1 <= value <= 8 else UPRIGHT
    return UPRIGHT
