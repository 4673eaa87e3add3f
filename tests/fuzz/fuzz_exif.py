"""Fuzz target: EXIF orientation, in a JPEG and by itself."""

import atheris

with atheris.instrument_imports(include=["app"]):
    from app.vision.exif import orientation_of_jpeg, orientation_of_tiff

from tests.fuzz.decoding import fuzz, seeds

MOST = 0xFFFF - 8


def read(data: bytes) -> None:
    """Always one of the eight, and the same in a JPEG as by itself."""
    tiff = data[:MOST]
    assert 1 <= orientation_of_jpeg(data) <= 8
    assert 1 <= orientation_of_tiff(tiff) <= 8
    segment = b"\xff\xe1" + (len(tiff) + 8).to_bytes(2, "big") + b"Exif\0\0" + tiff
    assert orientation_of_jpeg(b"\xff\xd8" + segment) == orientation_of_tiff(tiff)


if __name__ == "__main__":
    jpegs = seeds(b"\xff\xd8\xff")
    fuzz(read, jpegs + [data[12:400] for data in jpegs if data[6:10] == b"Exif"])
