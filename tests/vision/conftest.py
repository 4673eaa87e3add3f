"""Real photos and the real CenterFace, opened once."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from app.types import ImageLimits, Pixels
from app.vision.decode import decode
from app.vision.decoder import Decoder
from app.vision.detect import Detector, open_detector
from app.vision.pack import Pack, read_pack

LIMITS = ImageLimits()


@pytest.fixture(scope="session")
def group_pixels(group: bytes) -> Pixels:
    return decode(group, LIMITS)


@pytest.fixture(scope="session")
def astronaut_pixels(astronaut: bytes) -> Pixels:
    return decode(astronaut, LIMITS)


@pytest.fixture(scope="session")
def small_photo(astronaut: bytes) -> bytes:
    """The head of the astronaut: a PNG of 250 x 301 pixels."""
    file = io.BytesIO()
    Image.open(io.BytesIO(astronaut)).convert("RGB").crop((100, 0, 350, 301)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def opened_pack(tiny_pack: Path) -> Pack:
    return read_pack(tiny_pack)


@pytest.fixture(scope="session")
def detector(opened_pack: Pack) -> Detector:
    return open_detector(opened_pack.detector, "cpu")


@pytest.fixture(scope="session")
def decoder() -> Iterator[Decoder]:
    decoder = Decoder(LIMITS, seconds=60)
    yield decoder
    decoder.close()


@pytest.fixture(scope="session")
def shared_packs() -> Path:
    """Packs of other makers, where there are any; tests that need them are skipped else."""
    folder = Path(__file__).parent.parent.parent.parent / "shared" / "packs"
    if not (folder / "insightface-small").is_dir():
        pytest.skip("no packs of other makers here (../shared/packs)")
    return folder
