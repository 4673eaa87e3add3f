"""Files of the corpus that lie in their segments and chunks: lengths, orders, counts, sizes."""

import struct
import zlib
from collections.abc import Iterator

from tests.hostile_file import HostileFile, chunk, png_with_chunk, png_with_size

BROKEN, TOO_LARGE, ANIMATED = "image_broken", "image_too_large", "image_animated"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
END = chunk(b"IEND", b"")


def _png(*chunks: bytes) -> bytes:
    return SIGNATURE + b"".join(chunks) + END


def _header(width: int, height: int, depth: int = 8, colour: int = 2, *rest: int) -> bytes:
    method, filters, interlace = (*rest, 0, 0, 0)[:3]
    fields = (width, height, depth, colour, method, filters, interlace)
    return chunk(b"IHDR", struct.pack(">IIBBBBB", *fields))


def _rows(width: int, height: int, filter_type: int = 0, channels: int = 3) -> bytes:
    return zlib.compress((bytes([filter_type]) + bytes(width * channels)) * height)


def png_files(png: bytes) -> Iterator[HostileFile]:
    """`png`: an honest RGB file of eight bits."""
    yield from _png_sizes(png)
    yield from _png_structures(png)
    yield from _png_extras(png)


def _png_sizes(png: bytes) -> Iterator[HostileFile]:
    pixels = chunk(b"IDAT", _rows(8, 8))
    at = png.index(b"IDAT") - 4
    length = int.from_bytes(png[at : at + 4], "big")
    for lie in (0, 1, length - 1, length + 1, length + 1000, 2**31 - 1, 2**32 - 1):
        data = png[:at] + lie.to_bytes(4, "big") + png[at + 4 :]
        # With one byte less, or with more than there is, it may still hold every pixel.
        name = f"png whose pixel chunk claims {lie} bytes"
        yield HostileFile(
            name, data, BROKEN if lie < length - 1 else None, unsure=lie >= length - 1
        )
    for lie in (0, 12, 14, 2**31 - 1):
        data = SIGNATURE + lie.to_bytes(4, "big") + png[12:]
        yield HostileFile(f"png whose header claims {lie} bytes", data, BROKEN)
    for width, height in (
        (1, 2**31 - 1),
        (2**31 - 1, 1),
        (2**32 - 1, 2**32 - 1),
        (7_072, 7_072),
        (49_000_000, 1),
        (1, 49_000_000),
    ):
        data = png_with_size(png, width, height)
        yield HostileFile(f"png of {width} x {height}", data, TOO_LARGE)
    for width, height in (
        (0, 0),
        (10, 0),
        (1, 1),
        (7_000, 7_000),
        (65_535, 700),
        (700, 65_535),
    ):
        data = png_with_size(png, width, height)
        # One pixel is the first one of the photo, and whole.
        expect = None if (width, height) == (1, 1) else BROKEN
        yield HostileFile(f"png that lies to be {width} x {height}", data, expect)
    for depth, colour in (
        (0, 2),
        (3, 2),
        (4, 2),
        (32, 2),
        (255, 255),
        (8, 1),
        (8, 5),
        (8, 7),
        (16, 3),
    ):
        data = _png(_header(8, 8, depth, colour), pixels)
        yield HostileFile(f"png of depth {depth} and colour {colour}", data, BROKEN)
    for name, rest in (("packing", (1,)), ("filtering", (0, 1)), ("interlacing", (0, 0, 9))):
        yield HostileFile(
            f"png of unknown {name}", _png(_header(8, 8, 8, 2, *rest), pixels), None, unsure=True
        )


def _png_structures(png: bytes) -> Iterator[HostileFile]:
    chunk(b"IDAT", _rows(8, 8))
    yield HostileFile(
        "png with row filter 9", _png(_header(8, 8), chunk(b"IDAT", _rows(8, 8, 9))), BROKEN
    )
    short = chunk(b"IDAT", _rows(8, 7))
    yield HostileFile("png that lacks a row", _png(_header(8, 8), short), BROKEN)
    yield HostileFile(
        "interlaced png that lacks rows", _png(_header(8, 8, 8, 2, 0, 0, 1), short), BROKEN
    )
    yield HostileFile(
        "png with rows too many", _png(_header(8, 8), chunk(b"IDAT", _rows(8, 900))), None
    )
    window = chunk(b"IDAT", b"\x08\x1d" + _rows(8, 8)[2:])
    yield HostileFile(
        "png with a wrong zlib window", _png(_header(8, 8), window), None, unsure=True
    )
    compressor = zlib.compressobj(zdict=b"dictionary")
    packed = compressor.compress(bytes(200)) + compressor.flush()
    yield HostileFile(
        "png packed with a dictionary", _png(_header(8, 8), chunk(b"IDAT", packed)), BROKEN
    )
    ends = _rows(8, 8)[:-4] + b"\0\0\0\0"
    yield HostileFile(
        "png with a wrong adler", _png(_header(8, 8), chunk(b"IDAT", ends)), None, unsure=True
    )
    yield HostileFile(
        "png without a palette",
        _png(_header(8, 8, 8, 3), chunk(b"IDAT", _rows(8, 8, 0, 1))),
        None,
        unsure=True,
    )
    palette = (_header(8, 8, 8, 3), chunk(b"PLTE", bytes(2000)), chunk(b"IDAT", _rows(8, 8, 0, 1)))
    yield HostileFile("png with a palette too long", _png(*palette), None, unsure=True)
    odd = (_header(8, 8, 8, 3), chunk(b"PLTE", bytes(4)), chunk(b"IDAT", _rows(8, 8, 0, 1)))
    yield HostileFile("png with a third of a colour", _png(*odd), None, unsure=True)
    few = (
        _header(8, 8, 8, 3),
        chunk(b"PLTE", bytes(3)),
        chunk(b"IDAT", zlib.compress((b"\0" + b"\xff" * 8) * 8)),
    )
    yield HostileFile("png that points beyond its palette", _png(*few), None, unsure=True)


def _png_extras(png: bytes) -> Iterator[HostileFile]:
    pixels = chunk(b"IDAT", _rows(8, 8))
    yield HostileFile(
        "png with transparency too long",
        png_with_chunk(png, b"tRNS", bytes(70_000)),
        None,
        unsure=True,
    )
    yield HostileFile("png with pixels before its header", _png(pixels, _header(8, 8)), BROKEN)
    yield HostileFile(
        "png with two headers",
        _png(_header(8, 8), _header(9_000, 9_000), pixels),
        None,
        unsure=True,
    )
    yield HostileFile("png without an end", _png(_header(8, 8), pixels)[:-12], None, unsure=True)
    yield HostileFile(
        "png with an unknown critical chunk", png_with_chunk(png, b"EVIL", b"x"), None, unsure=True
    )
    yield HostileFile("png with a nameless chunk", png_with_chunk(png, b"\0\0\0\0", b"x"), BROKEN)
    empty = [chunk(b"IDAT", b"")] * 20_000
    yield HostileFile(
        "png with 20,000 empty pixel chunks", _png(_header(8, 8), *empty, pixels), None
    )
    yield HostileFile("png of nothing but empty pixel chunks", _png(_header(8, 8), *empty), BROKEN)
    single = [chunk(b"IDAT", _rows(8, 8)[at : at + 1]) for at in range(len(_rows(8, 8)))]
    yield HostileFile("png with a chunk a byte", _png(_header(8, 8), *single), None)
    notes = [chunk(b"tEXt", b"k%d\0x" % number) for number in range(20_000)]
    yield HostileFile(
        "png with 20,000 notes", _png(_header(8, 8), *notes, pixels), None, unsure=True
    )
    zeros = zlib.compress(bytes(900_000))
    texts = [chunk(b"zTXt", b"k%d\0\0" % number + zeros) for number in range(100)]
    yield HostileFile(
        "png with 100 notes of 900 kB each", _png(_header(8, 8), *texts, pixels), None, unsure=True
    )
    international = chunk(b"iTXt", b"k\0\1\0\0\0" + zlib.compress(bytes(100_000_000), 1))
    yield HostileFile(
        "png text in words that unpacks to 100 MB",
        _png(_header(8, 8), international, pixels),
        BROKEN,
    )
    yield HostileFile(
        "png with a note of 5 MB",
        png_with_chunk(png, b"tEXt", b"k\0" + bytes(5_000_000)),
        None,
        unsure=True,
    )
    yield HostileFile(
        "png with a profile of 5 MB",
        png_with_chunk(png, b"iCCP", b"p\0\0" + bytes(5_000_000)),
        None,
        unsure=True,
    )
    exif = (
        b"II*\0\x08\0\0\0\x01\0"
        + b"\x0e\x01\x02\0"
        + struct.pack("<II", 5_000_000, 26)
        + bytes(5_000_000)
    )
    yield HostileFile("png with exif of 5 MB", png_with_chunk(png, b"eXIf", exif), None)
    yield HostileFile(
        "png whose resolution is cut", png_with_chunk(png, b"pHYs", b"\0"), None, unsure=True
    )
    yield HostileFile(
        "png whose gamma is cut", png_with_chunk(png, b"gAMA", b"\0"), None, unsure=True
    )
    for frames in (0, 1, 2, 2**31 - 1, 2**32 - 1):
        control = chunk(b"acTL", struct.pack(">II", frames, 0))
        data = png_with_chunk(png, b"acTL", control[8:-4])
        yield HostileFile(f"png that claims {frames} frames", data, None, unsure=True)


def _segment(marker: int, body: bytes, length: int | None = None) -> bytes:
    size = len(body) + 2 if length is None else length
    return bytes([0xFF, marker]) + struct.pack(">H", size) + body


def _changed(jpeg: bytes, at: int, *values: int) -> bytes:
    return jpeg[:at] + bytes(values) + jpeg[at + len(values) :]


def _with(jpeg: bytes, *segments: bytes) -> bytes:
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def _tiff(entries: bytes, count: int, following: int = 0) -> bytes:
    return (
        b"Exif\0\0II*\0\x08\0\0\0"
        + struct.pack("<H", count)
        + entries
        + struct.pack("<I", following)
    )


def jpeg_files(jpeg: bytes, progressive: bytes) -> Iterator[HostileFile]:
    """`jpeg` and `progressive`: honest files of three components."""
    yield from _jpeg_headers(jpeg)
    yield from _jpeg_structures(jpeg)
    yield from _jpeg_sizes(jpeg, progressive)
    yield from _jpeg_extras(jpeg)


def _jpeg_headers(jpeg: bytes) -> Iterator[HostileFile]:
    frame = jpeg.index(b"\xff\xc0")
    scan = jpeg.index(b"\xff\xda")
    tables = jpeg.index(b"\xff\xc4")
    quantisation = jpeg.index(b"\xff\xdb")

    for name, at in (
        ("frame", frame),
        ("scan", scan),
        ("code table", tables),
        ("quantiser", quantisation),
    ):
        for lie in (0, 1, 2, 3, 0xFFFF):
            data = _changed(jpeg, at + 2, lie >> 8, lie & 0xFF)
            yield HostileFile(f"jpeg whose {name} claims {lie} bytes", data, BROKEN)
    for precision in (0, 1, 12, 16, 255):
        yield HostileFile(f"jpeg of {precision} bits", _changed(jpeg, frame + 4, precision), BROKEN)
    for count in (0, 2, 4, 255):
        yield HostileFile(f"jpeg of {count} components", _changed(jpeg, frame + 9, count), BROKEN)
    for sampling in (0x00, 0x10, 0x01, 0x55, 0xFF):
        data = _changed(jpeg, frame + 11, sampling)
        yield HostileFile(f"jpeg sampled {sampling:#04x}", data, BROKEN)
    yield HostileFile("jpeg sampled 0x44", _changed(jpeg, frame + 11, 0x44), None, unsure=True)
    yield HostileFile("jpeg with quantiser 9", _changed(jpeg, frame + 12, 9), BROKEN)
    yield HostileFile("jpeg with code table 7", _changed(jpeg, scan + 6, 0x77), BROKEN)
    yield HostileFile("jpeg with a scan of 0 components", _changed(jpeg, scan + 4, 0), BROKEN)
    yield HostileFile("jpeg with a scan of 9 components", _changed(jpeg, scan + 4, 9), BROKEN)
    yield HostileFile(
        "jpeg with a scan of unknown components", _changed(jpeg, scan + 5, 99), BROKEN
    )
    yield HostileFile("jpeg with codes too many", _changed(jpeg, tables + 5, *[255] * 16), BROKEN)
    for marker, what in (
        (0xC1, "extended"), (0xC3, "lossless"), (0xC5, "hierarchical"), (0xC9, "arithmetic"),
        (0xCA, "arithmetic progressive"), (0xCF, "hierarchical lossless arithmetic"),
    ):  # fmt: skip
        data = _changed(jpeg, frame + 1, marker)
        yield HostileFile(f"jpeg that says it is {what}", data, None, unsure=True)


def _jpeg_structures(jpeg: bytes) -> Iterator[HostileFile]:
    frame, scan = jpeg.index(b"\xff\xc0"), jpeg.index(b"\xff\xda")
    yield HostileFile(
        "jpeg with two frames", jpeg[:scan] + jpeg[frame : frame + 19] + jpeg[scan:], BROKEN
    )
    yield HostileFile("jpeg without a frame", jpeg[:frame] + jpeg[frame + 19 :], BROKEN)
    yield HostileFile("jpeg with a scan before its frame", jpeg[:2] + jpeg[scan:], BROKEN)
    yield HostileFile("jpeg of nothing but its ends", b"\xff\xd8\xff\xd9", BROKEN)
    yield HostileFile("jpeg that begins twice", b"\xff\xd8" + jpeg, None, unsure=True)
    yield HostileFile("jpeg of fill bytes", b"\xff\xd8" + b"\xff" * 100_000, BROKEN)
    yield HostileFile("jpeg behind fill bytes", _with(jpeg, b"\xff" * 100_000), None, unsure=True)
    yield HostileFile("jpeg of nothing but restarts", b"\xff\xd8" + b"\xff\xd0" * 50_000, BROKEN)
    for interval in (0, 1, 0xFFFF):
        restart = _segment(0xDD, struct.pack(">H", interval))
        expect = None if interval != 1 else BROKEN
        yield HostileFile(
            f"jpeg with restarts each {interval}",
            jpeg[:scan] + restart + jpeg[scan:],
            expect,
            unsure=True,
        )


def _jpeg_sizes(jpeg: bytes, progressive: bytes) -> Iterator[HostileFile]:
    frame = jpeg.index(b"\xff\xc0")
    for width, height in ((65_500, 764), (7_100, 7_100)):
        data = _changed(jpeg, frame + 5, *struct.pack(">HH", height, width))
        yield HostileFile(f"jpeg of {width} x {height}", data, TOO_LARGE)
    for width, height in ((0, 0), (0, 100), (7_000, 7_000), (0xFFFF, 700), (700, 0xFFFF)):
        data = _changed(jpeg, frame + 5, *struct.pack(">HH", height, width))
        yield HostileFile(f"jpeg that lies to be {width} x {height}", data, BROKEN)
    sof = progressive.index(b"\xff\xc2")
    wide = progressive[: sof + 5] + struct.pack(">HH", 7_000, 7_000) + progressive[sof + 9 :]
    yield HostileFile("progressive jpeg that lies to be 7000 x 7000", wide, BROKEN)
    first = progressive.index(b"\xff\xda")
    again = progressive[first : progressive.index(b"\xff", first + 20)]
    for scans in (60, 65, 3_000):
        data = progressive[:-2] + again * scans + b"\xff\xd9"
        yield HostileFile(f"jpeg with {scans} more scans", data, BROKEN)


def _jpeg_extras(jpeg: bytes) -> Iterator[HostileFile]:
    yield HostileFile(
        "jpeg with 30,000 empty notes", _with(jpeg, _segment(0xFE, b"") * 30_000), None
    )
    yield HostileFile(
        "jpeg with notes of 5 MB", _with(jpeg, _segment(0xFE, bytes(65_533)) * 76), None
    )
    icc = [
        _segment(0xE2, b"ICC_PROFILE\0" + bytes([number, 255]) + bytes(30_000))
        for number in range(1, 256)
    ]
    yield HostileFile("jpeg with a profile of 7 MB", _with(jpeg, *icc), None)
    yield HostileFile(
        "jpeg with a profile of part 0 of 0",
        _with(jpeg, _segment(0xE2, b"ICC_PROFILE\0\0\0x")),
        BROKEN,
    )
    full = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x0e\x01\x02\0\xff\xff\xff\x7f\x08\0\0\0" * 5_000
    yield HostileFile("jpeg with exif of 60 kB", _with(jpeg, _segment(0xE1, full)), None)
    loop = _tiff(b"\x69\x87\x04\0\x01\0\0\0\x08\0\0\0", 1, following=8)
    yield HostileFile(
        "jpeg with exif that is its own child", _with(jpeg, _segment(0xE1, loop)), None
    )
    ring = _tiff(b"\x2a\x01\x04\0\x01\0\0\0\x08\0\0\0" * 3, 3, following=8)
    yield HostileFile("jpeg with exif that follows itself", _with(jpeg, _segment(0xE1, ring)), None)
    for value in (0, 9, 255, 65_535):
        entry = b"\x12\x01\x03\0\x01\0\0\0" + struct.pack("<HH", value, 0)
        data = _with(jpeg, _segment(0xE1, _tiff(entry, 1)))
        yield HostileFile(f"jpeg of orientation {value}", data, None, shows=True)
    yield HostileFile("jpeg with 50 exifs", _with(jpeg, _segment(0xE1, loop) * 50), None)
    yield HostileFile(
        "jpeg with exif that claims no bytes",
        _with(jpeg, _segment(0xE1, b"", 0)),
        None,
        unsure=True,
    )
    mpo = b"MPF\0II*\0\x08\0\0\0\x03\0" + b"\x01\xb0\x04\0\x01\0\0\0\xff\xff\xff\xff" * 3
    yield HostileFile(
        "jpeg that claims four billion pictures", _with(jpeg, _segment(0xE2, mpo)), None
    )
    yield HostileFile(
        "jpeg with adobe's transform 9",
        _with(jpeg, _segment(0xEE, b"Adobe\0\x64\0\0\0\0\x09")),
        None,
    )
    thumbnail = _segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\xff\xff")
    yield HostileFile("jpeg that claims a thumbnail of 255 x 255", _with(jpeg, thumbnail), None)


def _riff(*chunks: bytes, size: int | None = None) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def _part(name: bytes, body: bytes, size: int | None = None) -> bytes:
    return (
        name + struct.pack("<I", len(body) if size is None else size) + body + bytes(len(body) % 2)
    )


def _canvas(width: int, height: int, flags: int) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return _part(b"VP8X", bytes([flags, 0, 0, 0]) + sides)


def webp_files(lossy: bytes, lossless: bytes, size: tuple[int, int]) -> Iterator[HostileFile]:
    """`lossy` and `lossless`: honest files of `size` with one chunk each."""
    frame, bits = lossy[20:], lossless[20:]
    width, height = size
    for name, kind, body in (("lossy", b"VP8 ", frame), ("lossless", b"VP8L", bits)):
        for lie in (0, 1, len(body) // 2, len(body) + 100, 2**31, 2**32 - 1):
            yield HostileFile(
                f"{name} webp whose chunk claims {lie} bytes", _riff(_part(kind, body, lie)), BROKEN
            )
        whole = _part(kind, body)
        for lie in (0, 4, 2**31, 2**32 - 2):
            yield HostileFile(
                f"{name} webp that claims {lie} bytes", _riff(whole, size=lie), BROKEN
            )
        yield HostileFile(f"{name} webp twice in one", _riff(whole, whole), None, unsure=True)
        yield HostileFile(
            f"{name} webp behind garbage", _riff(_part(b"JUNK", bytes(100)), whole), BROKEN
        )
        yield HostileFile(
            f"{name} webp on no canvas of its size",
            _riff(_canvas(width + 9, height, 0), whole),
            BROKEN,
        )
        yield HostileFile(
            f"{name} webp on a canvas of 7000 x 7000",
            _riff(_canvas(7_000, 7_000, 0), whole),
            BROKEN,
        )
        animated = _riff(_canvas(width, height, 2), whole)
        yield HostileFile(f"{name} webp that says it is animated", animated, BROKEN)
        exif = _part(b"EXIF", b"II*\0\x08\0\0\0\xff\xff" + bytes(5_000_000))
        yield HostileFile(
            f"{name} webp with exif of 5 MB", _riff(_canvas(width, height, 8), whole, exif), None
        )
        profile = _part(b"ICCP", bytes(5_000_000))
        yield HostileFile(
            f"{name} webp with a profile of 5 MB",
            _riff(_canvas(width, height, 32), profile, whole),
            None,
        )
        notes = [_part(b"XMP ", b"x")] * 20_000
        yield HostileFile(
            f"{name} webp with 20,000 notes",
            _riff(_canvas(width, height, 4), whole, *notes),
            None,
            unsure=True,
        )
    yield HostileFile("webp of a canvas alone", _riff(_canvas(width, height, 0)), BROKEN)
    yield HostileFile(
        "webp of two canvases",
        _riff(_canvas(9, 9, 0), _canvas(width, height, 0), _part(b"VP8 ", frame)),
        BROKEN,
    )
    for at, value, what in (
        (3, 0, "start code"),
        (0, frame[0] | 1, "key frame"),
        (2, 0xFF, "first partition"),
    ):
        body = frame[:at] + bytes([value]) + frame[at + 1 :]
        yield HostileFile(f"webp with a wrong {what}", _riff(_part(b"VP8 ", body)), BROKEN)
    for at, value, what in ((0, 0, "signature"), (4, 0xFF, "version")):
        body = bits[:at] + bytes([value]) + bits[at + 1 :]
        yield HostileFile(f"lossless webp with a wrong {what}", _riff(_part(b"VP8L", body)), BROKEN)
    alpha = _part(b"ALPH", b"\x01" + bytes(50))
    yield HostileFile(
        "webp with nonsense for alpha",
        _riff(_canvas(width, height, 16), alpha, _part(b"VP8 ", frame)),
        BROKEN,
    )
    head = _part(b"ANIM", bytes(6))
    picture = (
        bytes(6) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little") + bytes(4)
    )
    one = _part(b"ANMF", picture + _part(b"VP8 ", frame))
    yield HostileFile("webp animation of no frames", _riff(_canvas(width, height, 2), head), BROKEN)
    yield HostileFile(
        "webp animation of one frame", _riff(_canvas(width, height, 2), head, one), None
    )
    yield HostileFile(
        "webp animation of 300 frames",
        _riff(_canvas(width, height, 2), head, *[one] * 300),
        ANIMATED,
    )
    outside = _part(b"ANMF", b"\xff\xff\xff" * 2 + picture[6:] + _part(b"VP8 ", frame))
    yield HostileFile(
        "webp animation outside its canvas", _riff(_canvas(width, height, 2), head, outside), BROKEN
    )
    still = _part(b"ANMF", b"")
    yield HostileFile(
        "webp animation of an empty frame", _riff(_canvas(width, height, 2), head, still), BROKEN
    )
