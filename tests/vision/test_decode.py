"""Bytes become an upright picture, or are refused with a code that says why."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.errors import ImageRefused
from app.types import ImageLimits
from app.vision.decode import decode, decode_at_least
from app.vision.errors import ImageTooLarge
from app.vision.exif import orientation_of_jpeg
from tests.hostile import HostileFile, chunk, hostile_files, raw_png, save

# What codecs have to say of broken files.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

LIMITS = ImageLimits()


@pytest.fixture(scope="session")
def corpus(small_photo: bytes) -> list[HostileFile]:
    return hostile_files(small_photo)


def outcome(data: bytes) -> str | None:
    try:
        decode(data, LIMITS)
    except ImageRefused as refused:
        assert refused.detail.endswith((".", "first."))
        return refused.code
    return None


def test_the_corpus_is_large_enough_to_mean_something(corpus: list[HostileFile]) -> None:
    names = [each.name for each in corpus]
    assert len(names) == len(set(names)) >= 300


def test_every_file_is_decoded_or_refused_with_its_code(corpus: list[HostileFile]) -> None:
    wrong = {
        each.name: (each.expect, got)
        for each in corpus
        if (got := outcome(each.data)) != each.expect and not each.unsure
    }
    assert not wrong


def test_whatever_shows_the_photo_decodes_to_it(
    corpus: list[HostileFile], small_photo: bytes
) -> None:
    """All eight orientations, CMYK, sixteen bits and every codec give one upright picture."""
    photo = np.asarray(Image.open(io.BytesIO(small_photo))).astype(int)
    for each in corpus:
        if each.shows:
            pixels = decode(each.data, LIMITS)
            assert pixels.dtype == np.uint8 and pixels.flags.c_contiguous
            assert pixels.shape == photo.shape, each.name
            assert np.abs(pixels - photo).mean() < 5, each.name


@pytest.mark.parametrize("orientation", range(1, 9))
def test_half_a_jpeg_is_the_whole_one_shrunk(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.linear_gradient("L").convert("RGB").resize((301, 402))
    data = save(picture, "JPEG", exif=exif, quality=95)
    whole, half = decode(data, LIMITS), decode_at_least(data, LIMITS, 150)
    assert (half.height, half.width) == whole.shape[:2] and not half.is_whole
    assert half.pixels.shape[:2] == tuple(-(-side // 2) for side in whole.shape[:2])
    assert np.abs(half.pixels[:150, :150].astype(int) - whole[:300:2, :300:2]).mean() < 3


def test_what_would_be_too_small_or_gains_nothing_comes_whole() -> None:
    picture = Image.linear_gradient("L").convert("RGB").resize((301, 402))
    for kind, side in (("JPEG", 151), ("JPEG", 0), ("PNG", 10), ("WEBP", 10)):
        got = decode_at_least(save(picture, kind), LIMITS, side)
        assert got.is_whole and got.pixels.shape == (402, 301, 3)


def test_half_of_a_broken_file_is_refused_as_the_whole_is(corpus: list[HostileFile]) -> None:
    for each in corpus:
        if outcome(each.data) is not None:
            with pytest.raises(ImageRefused) as refused:
                decode_at_least(each.data, LIMITS, 1)
            assert refused.value.code == outcome(each.data), each.name


def test_memory_stays_flat_over_hostile_files(corpus: list[HostileFile]) -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    some = corpus[::4]
    for each in some:
        outcome(each.data)
    before = resident()
    for _ in range(2):
        for each in some:
            outcome(each.data)
    assert resident() - before < 30_000_000


def test_random_damage_is_refused_by_name_and_never_crashes(corpus: list[HostileFile]) -> None:
    random = np.random.default_rng(0)
    honest = [each.data for each in corpus if each.expect is None and len(each.data) < 200_000]
    for data in honest[::2]:
        for _ in range(4):
            damaged = bytearray(data)
            for at in random.integers(0, len(damaged), 4):
                damaged[at] = random.integers(256)
            outcome(bytes(damaged[: random.integers(1, len(damaged) + 1)]))


@pytest.mark.parametrize("value", [0, 255, 256, 257, 4096, 32_768, 65_280, 65_535])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(value: int) -> None:
    pixels = decode(raw_png(np.full((4, 5), value, ">u2"), colour=0), LIMITS)
    assert pixels.shape == (4, 5, 3)
    assert (pixels == value >> 8).all()


def test_transparent_pixels_are_laid_over_white() -> None:
    clear = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    half = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
    assert (decode(save(clear, "PNG"), LIMITS) == 255).all()
    assert np.abs(decode(save(half, "PNG"), LIMITS).astype(int) - 127).max() <= 1


@pytest.mark.parametrize(("width", "height"), [(65_536, 1), (1, 65_536)])
def test_no_side_is_longer_than_a_jpegs_can_be(width: int, height: int) -> None:
    with pytest.raises(ImageTooLarge, match="no side may be longer"):
        decode(save(Image.new("L", (width, height)), "PNG"), LIMITS)


def test_a_black_png_is_complete_and_one_without_its_last_rows_is_not() -> None:
    black = save(Image.new("RGB", (40, 30)), "PNG")
    assert outcome(black) is None
    header = black[:16] + b"\0\0\0\x28\0\0\0\x3c" + black[24:29]
    longer = black[:8] + chunk(b"IHDR", header[16:]) + black[33:]
    assert outcome(longer) == "image_broken"


def test_limits_are_those_that_were_given() -> None:
    data = save(Image.new("RGB", (100, 50)), "JPEG")
    with pytest.raises(ImageTooLarge, match="100 x 50"):
        decode(data, ImageLimits(max_pixels=4_999))
    with pytest.raises(ImageTooLarge, match="bytes"):
        decode(data, ImageLimits(max_bytes=len(data) - 1))
    assert decode(data, ImageLimits(max_pixels=5_000, max_bytes=len(data))).shape == (50, 100, 3)


def test_orientation_is_read_in_both_byte_orders() -> None:
    big = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"
    little = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x08\0\0\0"
    for exif, expected in ((big, 6), (little, 8), (big[:-6], 1), (b"Exif\0\0", 1)):
        jpeg = b"\xff\xd8\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + b"\xff\xda"
        assert orientation_of_jpeg(jpeg) == expected
