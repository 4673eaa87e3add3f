"""Broken and hostile files, and odd but honest ones, made from one photo.

The same corpus is pushed through `decode` and through HTTP.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from PIL import Image

from tests.hostile_file import HostileFile, chunk, png_with_chunk, png_with_size
from tests.hostile_segments import jpeg_files, png_files, webp_files

ORIENTATION = 0x0112
# What to do to an upright picture so that a viewer which obeys EXIF shows it upright again.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@lru_cache(maxsize=4)
def hostile_files(photo: bytes) -> list[HostileFile]:
    """The corpus, made from `photo`, a JPEG or PNG of at most a few hundred pixels a side."""
    image = Image.open(io.BytesIO(photo)).convert("RGB")
    return [
        *_wrong_types(image),
        *_truncated(image),
        *_lying_headers(image),
        *_bombs(image),
        *_corrupt(image),
        *_animated(image),
        *_polyglots(image),
        *_damaged(image),
        *png_files(save(image, "PNG")),
        *jpeg_files(save(image, "JPEG"), save(image, "JPEG", progressive=True)),
        *webp_files(save(image, "WEBP"), save(image, "WEBP", lossless=True), image.size),
        *_odd_but_right(image),
    ]


def _wrong_types(image: Image.Image) -> Iterator[HostileFile]:
    yield HostileFile("empty", b"", "image_empty")
    others = {
        "one byte": b"\xff",
        "text": b"this is not a picture\n" * 20,
        "html": b"<!DOCTYPE html><html><body>404</body></html>",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n",
        "zip": b"PK\x03\x04" + bytes(60),
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60),
        "noise": np.random.default_rng(1).bytes(4096),
        "gif": save(image, "GIF"),
        "bmp": save(image, "BMP"),
        "tiff": save(image, "TIFF"),
        "jpeg 2000": save(image, "JPEG2000"),
        "wav": b"RIFF\x24\0\0\0WAVEfmt " + bytes(28),
        "json": b'{"image": "aGVsbG8="}',
        "nothing but zeros": bytes(4096),
        "nothing but ones": b"\xff" * 4096,
        "white space": b" \n" * 100,
        "half a png signature": b"\x89PNG",
        "png signature after a file transfer as text": b"\x89PNG\n\x1a\n" + bytes(40),
        "riff alone": b"RIFF",
        "avif": b"\0\0\0\x1cftypavif\0\0\0\0mif1avif" + bytes(60),
        "mp4": b"\0\0\0\x20ftypisom" + bytes(60),
        "webm": b"\x1aE\xdf\xa3" + bytes(60),
        "icon": b"\0\0\x01\0\x01\0" + bytes(60),
        "jpeg xl": b"\xff\x0a" + bytes(60),
        "photoshop": b"8BPS\0\x01" + bytes(60),
        "portable pixmap": b"P6 2 2 255\n" + bytes(12),
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n" + bytes(60),
        "windows metafile": b"\xd7\xcd\xc6\x9a" + bytes(60),
        "program": b"\x7fELF\x02\x01\x01" + bytes(60),
        "gzip": b"\x1f\x8b\x08" + bytes(60),
        "pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
        "script": b"#!/bin/sh\ntrue\n",
        "xml with an entity": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]>',
        "url": b"http://127.0.0.1/photo.jpg",
        "data url": b"data:image/png;base64,iVBORw0KGgo=",
        "avi": b"RIFF\x24\0\0\0AVI LIST" + bytes(28),
    }
    for name, data in others.items():
        yield HostileFile(name, data, "image_type_unsupported")


def _truncated(image: Image.Image) -> Iterator[HostileFile]:
    files = {
        "jpeg": save(image, "JPEG", quality=90),
        "progressive jpeg": save(image, "JPEG", quality=90, progressive=True),
        "png": save(image, "PNG"),
        "webp": save(image, "WEBP", quality=80),
        "lossless webp": save(image, "WEBP", lossless=True),
        "cmyk jpeg": save(image.convert("CMYK"), "JPEG", quality=90),
        "palette png": save(image.quantize(64), "PNG"),
        "webp with alpha": save(_half_clear(image), "WEBP", quality=80),
    }
    for name, data in files.items():
        for share in (0.02, 0.2, 0.5, 0.8, 0.95):
            cut = data[: max(4, int(len(data) * share))]
            yield HostileFile(f"{name} cut at {share:.0%}", cut, "image_broken")
    yield HostileFile("jpeg without its end", files["jpeg"][:-2], "image_broken")
    yield HostileFile("jpeg of four bytes", b"\xff\xd8\xff\xe0", "image_broken")
    yield HostileFile("png signature alone", b"\x89PNG\r\n\x1a\n", "image_broken")
    yield HostileFile("webp signature alone", b"RIFF\x04\0\0\0WEBP", "image_broken")


def _lying_headers(image: Image.Image) -> Iterator[HostileFile]:
    too_large, broken = "image_too_large", "image_broken"
    jpeg, png = save(image, "JPEG"), save(image, "PNG")
    lossy, lossless = save(image, "WEBP"), save(image, "WEBP", lossless=True)
    yield HostileFile("png of 60000 x 60000", png_with_size(png, 60_000, 60_000), too_large)
    yield HostileFile("png of 2^31 x 2^31", png_with_size(png, 2**31 - 1, 2**31 - 1), too_large)
    yield HostileFile("png of no width", png_with_size(png, 0, 10), broken)
    higher = png_with_size(png, image.width, image.height + 50)
    yield HostileFile("png that promises more rows", higher, broken)
    yield HostileFile("jpeg of 65500 x 65500", jpeg_with_size(jpeg, 65_500, 65_500), too_large)
    yield HostileFile("jpeg of no height", jpeg_with_size(jpeg, 100, 0), broken)
    higher = jpeg_with_size(jpeg, image.width, image.height + 160)
    yield HostileFile("jpeg that promises more rows", higher, broken)
    vp8l = bytearray(lossless)
    vp8l[21:25] = (
        16_382 | 16_382 << 14 | int.from_bytes(vp8l[21:25], "little") >> 28 << 28
    ).to_bytes(4, "little")
    yield HostileFile("lossless webp of 16383 x 16383", bytes(vp8l), too_large)
    vp8 = bytearray(lossy)
    vp8[26:30] = struct.pack("<HH", 16_383, 16_383)
    yield HostileFile("webp of 16383 x 16383", bytes(vp8), too_large)
    extended = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\xff\xff" + b"\xff\xff\xff"
    riff = b"WEBP" + extended + lossy[12:]
    riff = b"RIFF" + struct.pack("<I", len(riff)) + riff
    yield HostileFile("webp canvas of 2^24 x 2^24", riff, too_large)


def _bombs(image: Image.Image) -> Iterator[HostileFile]:
    png = save(image, "PNG")
    zeros = zlib.compress(bytes(100_000_000), 1)
    yield HostileFile(
        "png text that unpacks to 100 MB",
        png_with_chunk(png, b"zTXt", b"comment\0\0" + zeros),
        "image_broken",
    )
    yield HostileFile(
        "png profile that unpacks to 100 MB",
        png_with_chunk(png, b"iCCP", b"profile\0\0" + zeros),
        "image_broken",
    )
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zeros)
        + chunk(b"IEND", b"")
    )
    yield HostileFile("png of 16 x 16 whose pixels unpack to 100 MB", bomb, None)
    progressive = save(image, "JPEG", progressive=True)
    scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    yield HostileFile(
        "jpeg of 500 scans", progressive[:-2] + scan * 500 + b"\xff\xd9", "image_broken"
    )
    yield HostileFile("jpeg of 11 MB", save(image, "JPEG") + bytes(11_000_000), "image_too_large")


def _corrupt(image: Image.Image) -> Iterator[HostileFile]:
    jpeg, png, webp = save(image, "JPEG"), save(image, "PNG"), save(image, "WEBP")
    middle = len(jpeg) // 2
    early_end = jpeg[:middle] + b"\xff\xd9" + jpeg[middle + 2 :]
    yield HostileFile("jpeg with an end in its middle", early_end, "image_broken")
    yield HostileFile("jpeg without quantisation", _without(jpeg, 0xDB), "image_broken")
    # As motion JPEG does: the standard's own tables are then meant.
    yield HostileFile("jpeg without code tables", _without(jpeg, 0xC4), None, shows=True)
    at = png.index(b"IDAT") + 40
    flipped = png[:at] + bytes([png[at] ^ 0xFF]) + png[at + 1 :]
    yield HostileFile("png with a wrong byte", flipped, "image_broken")
    header = png[:29] + bytes([png[29] ^ 1]) + png[30:]
    yield HostileFile("png with a wrong header checksum", header, "image_broken")
    pixels = png[: png.index(b"IDAT") - 4] + chunk(b"IDAT", b"\x78\x9cnot deflate at all")
    yield HostileFile("png with nonsense for pixels", pixels + chunk(b"IEND", b""), "image_broken")
    no_data = png[: png.index(b"IDAT") - 4] + chunk(b"IEND", b"")
    yield HostileFile("png without pixels", no_data, "image_broken")
    nonsense = webp[:32] + bytes(len(webp) - 32)
    yield HostileFile("webp header with nothing behind", nonsense[:60], "image_broken")
    yield HostileFile("jpeg header in front of a png", jpeg[:20] + png, "image_broken")
    exif = b"Exif\0\0MM\0*\xff\xff\xff\xf0"
    yield HostileFile("jpeg with exif out of bounds", jpeg_with_exif(jpeg, exif), None, shows=True)
    endless = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x0f\x01" * 40
    yield HostileFile("jpeg with endless exif", jpeg_with_exif(jpeg, endless), None, shows=True)


def _animated(image: Image.Image) -> Iterator[HostileFile]:
    other = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for kind in ("WEBP", "PNG"):
        data = save(image, kind, save_all=True, append_images=[other], duration=100)
        yield HostileFile(f"animated {kind.lower()}", data, "image_animated")


def _polyglots(image: Image.Image) -> Iterator[HostileFile]:
    """Two kinds of file in one. The first bytes decide, and the other is never looked at."""
    jpeg, png, webp = save(image, "JPEG"), save(image, "PNG"), save(image, "WEBP")
    archive = b"PK\x03\x04" + bytes(26) + b"PK\x05\x06" + bytes(18)
    for name, data in (("jpeg", jpeg), ("png", png)):
        yield HostileFile(f"{name} that is an archive too", data + archive, None)
        yield HostileFile(f"{name} that is a page too", data + b"<script>alert(1)</script>", None)
        yield HostileFile(f"gif in front of a {name}", b"GIF89a" + data, "image_type_unsupported")
        yield HostileFile(
            f"pdf in front of a {name}", b"%PDF-1.4\n" + data, "image_type_unsupported"
        )
    script = b"\xff\xfe\x00\x20<?php system($_GET[0]); ?>    "
    yield HostileFile("jpeg that is a script too", jpeg[:2] + script + jpeg[2:], None)
    yield HostileFile("webp that is an archive too", webp + archive, None, unsure=True)
    in_riff = b"RIFF" + struct.pack("<I", len(png) + 4) + b"WEBP" + png
    yield HostileFile("png in a webp's cover", in_riff, "image_broken")
    bitmap = b"BM" + struct.pack(
        "<IIIIIIHHIIIIII", 54, 0, 54, 40, 2**30, 2**30, 1, 32, 1, 0, 0, 0, 0, 0
    )
    yield HostileFile("bitmap of 2^30 x 2^30", bitmap, "image_type_unsupported")
    photo_in_tiff = b"II*\0\x08\0\0\0" + jpeg
    yield HostileFile("jpeg in a tiff's cover", photo_in_tiff, "image_type_unsupported")


FLIPS = 12


def _damaged(image: Image.Image) -> Iterator[HostileFile]:
    """Honest files with a few bits flipped, the same ones each time."""
    random = np.random.default_rng(5)
    files = {
        "jpeg": save(image, "JPEG"),
        "progressive jpeg": save(image, "JPEG", progressive=True),
        "cmyk jpeg": save(image.convert("CMYK"), "JPEG"),
        "png": save(image, "PNG"),
        "palette png": save(image.quantize(64), "PNG"),
        "webp": save(image, "WEBP"),
        "lossless webp": save(image, "WEBP", lossless=True),
        "webp with alpha": save(_half_clear(image), "WEBP"),
    }
    for name, data in files.items():
        for number in range(FLIPS):
            # Every second file is hit in its headers.
            end = 200 if number % 2 else len(data)
            damaged = bytearray(data)
            for at in random.integers(12, min(end, len(data)), 1 + number % 4):
                damaged[at] ^= 1 << int(random.integers(8))
            yield HostileFile(
                f"{name} with flipped bits {number}", bytes(damaged), None, unsure=True
            )


def _half_clear(image: Image.Image) -> Image.Image:
    clear = image.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(image.size))
    return clear


def _odd_but_right(image: Image.Image) -> Iterator[HostileFile]:
    jpeg = save(image, "JPEG", quality=95)
    grey = image.convert("L")

    def right(name: str, data: bytes, *, shows: bool = True) -> HostileFile:
        return HostileFile(name, data, None, shows)

    yield right("jpeg", jpeg)
    yield right("progressive jpeg", save(image, "JPEG", quality=95, progressive=True))
    yield right("jpeg 4:4:4", save(image, "JPEG", quality=95, subsampling=0))
    yield right("jpeg with garbage behind", jpeg + b"\0garbage" * 500)
    yield right("grey jpeg", save(grey, "JPEG", quality=95), shows=False)
    yield right("cmyk jpeg", save(image.convert("CMYK"), "JPEG", quality=95))
    yield right("png", save(image, "PNG"))
    yield right("grey png", save(grey, "PNG"), shows=False)
    yield right("grey and alpha png", save(grey.convert("LA"), "PNG"), shows=False)
    yield right("1-bit png", save(image.convert("1"), "PNG"), shows=False)
    yield right("palette png", save(image.quantize(256, Image.Quantize.FASTOCTREE), "PNG"))
    yield right("png with alpha", save(image.convert("RGBA"), "PNG"))
    transparent = image.quantize(64, Image.Quantize.FASTOCTREE)
    yield right(
        "palette png with transparency", save(transparent, "PNG", transparency=0), shows=False
    )
    deep = np.asarray(image).astype(">u2") * 257
    yield right("16-bit png", raw_png(deep, colour=2))
    deep_alpha = np.dstack([deep, np.full(deep.shape[:2], 65_535, ">u2")])
    yield right("16-bit png with alpha", raw_png(deep_alpha, colour=6))
    yield right("16-bit grey png", raw_png(np.asarray(grey).astype(">u2") * 257, 0), shows=False)
    yield right("webp", save(image, "WEBP", quality=95))
    yield right("lossless webp", save(image, "WEBP", lossless=True))
    yield right("webp with alpha", save(image.convert("RGBA"), "WEBP", quality=95))
    second = image.resize((image.width // 2, image.height // 2))
    yield right("mpo", save(image, "MPO", quality=95, save_all=True, append_images=[second]))
    for kind in ("JPEG", "PNG", "WEBP"):
        yield right(f"{kind.lower()} of one pixel", save(image.resize((1, 1)), kind), shows=False)
    for orientation, stored in STORED.items():
        turned = image if stored is None else image.transpose(stored)
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        yield right(
            f"jpeg of orientation {orientation}", save(turned, "JPEG", quality=95, exif=exif)
        )
        if orientation in (6, 7):
            yield right(f"png of orientation {orientation}", save(turned, "PNG", exif=exif))
            yield right(
                f"webp of orientation {orientation}", save(turned, "WEBP", quality=95, exif=exif)
            )


def save(image: Image.Image, kind: str, **how: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def raw_png(samples: np.ndarray, colour: int) -> bytes:
    """Big-endian uint16[H, W(, C)] as a PNG of 16 bits; Pillow writes no such colours."""
    height, width = samples.shape[:2]
    rows = samples.reshape(height, -1).view(np.uint8).reshape(height, -1)
    packed = zlib.compress(np.pad(rows, ((0, 0), (1, 0))).tobytes())
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def jpeg_with_size(jpeg: bytes, width: int, height: int) -> bytes:
    at = jpeg.index(b"\xff\xc0")
    return jpeg[: at + 5] + struct.pack(">HH", height, width) + jpeg[at + 9 :]


def jpeg_with_exif(jpeg: bytes, exif: bytes) -> bytes:
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


def _without(jpeg: bytes, marker: int) -> bytes:
    """`jpeg` without its segments of one kind."""
    out, at = bytearray(jpeg[:2]), 2
    while jpeg[at + 1] != 0xDA:
        length = 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if jpeg[at + 1] != marker:
            out += jpeg[at : at + length]
        at += length
    return bytes(out) + jpeg[at:]
