"""The default pack is whole, says what it is, and recognises."""

import asyncio
import io
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from app.types import Floats
from app.vision.faces import Vision
from app.vision.pack import read_manifest, read_pack
from tests.seeing import in_threads
from tests.service import ROOT

FOLDER = ROOT / "models" / "packs" / "starter"


@pytest.fixture(scope="module")
def starter() -> Iterator[Vision]:
    with in_threads(FOLDER) as vision:
        yield vision


def embeddings(vision: Vision, image: bytes) -> Floats:
    async def work() -> Floats:
        return await vision.embed([face.crop for face in await vision.faces(image)])

    return asyncio.run(work())


def encoded(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.convert("RGB").save(file, "JPEG", quality=85)
    return file.getvalue()


def test_it_is_small_and_carries_card_licence_and_figures() -> None:
    pack = read_pack(FOLDER)
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 15e6
    assert pack.detector.licence == "MIT"
    assert pack.licence
    card = (FOLDER / "MODEL_CARD.md").read_text()
    for word in ("LFW", "CelebA", "non-commercial", "interval", "Failure"):
        assert word.lower() in card.lower(), word
    training = read_manifest(FOLDER / "pack.json").training
    assert training
    assert training["figures"]


def test_its_calibration_is_its_own_and_orders_thresholds() -> None:
    pack = read_pack(FOLDER)
    assert pack.calibration is not None
    assert pack.calibration.model == pack.model
    strict, loose = (pack.calibration.threshold_for_fmr(fmr) for fmr in (1e-3, 1e-2))
    assert loose < strict < 1
    sizes = [pack.calibration.default_for_fpir(0.01, size) for size in (10, 1_000, 100_000)]
    assert sizes == sorted(sizes)
    for row in pack.calibration.fmr:
        assert row.errors >= 30, "a rate that the count does not support"
        assert row.interval[0] <= row.errors / row.pairs <= row.interval[1]


def test_a_face_is_itself_under_change_and_nobody_else(
    starter: Vision, group: bytes, hanks: bytes, astronaut: bytes
) -> None:
    calibration = starter.pack.calibration
    assert calibration is not None
    threshold = calibration.threshold_for_fmr(1e-2)
    for image in (hanks, astronaut):
        picture = Image.open(io.BytesIO(image)).convert("RGB")
        [plain] = embeddings(starter, encoded(picture))
        for changed in (
            ImageOps.mirror(picture),
            ImageEnhance.Brightness(picture).enhance(0.7),
            picture.resize((picture.width * 2 // 3, picture.height * 2 // 3)),
            picture.rotate(10),
        ):
            [other] = embeddings(starter, encoded(changed))
            assert float(plain @ other) > threshold
    everybody = np.concatenate([embeddings(starter, one) for one in (group, hanks, astronaut)])
    between = (everybody @ everybody.T)[np.triu_indices(len(everybody), 1)]
    assert len(everybody) == 8
    assert float(np.mean(between > threshold)) <= 0.1
