"""A pack at work: many images at once, each gets its own faces."""

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.errors import ImageRefused, Overloaded
from app.stages import Stages, begin
from app.vision.decoder import Decoder
from app.vision.detect import Detector
from app.vision.errors import EmbeddingFailed
from app.vision.faces import Vision
from app.vision.opening import Opening, open_visions
from app.vision.sight import look
from tests.seeing import in_threads, opening

Run = Callable[..., Any]


@pytest.fixture(params=["processes", "threads"])
def with_vision(request: pytest.FixtureRequest) -> Run:
    """Runs what is given a pack at work, as on a CPU and as before a GPU."""

    async def by_processes(pack: Path, use: Run, how: Opening) -> Any:
        async with open_visions([pack], how) as [vision]:
            await vision.warm_up()
            return await use(vision)

    async def by_threads(pack: Path, use: Run, how: Opening) -> Any:
        with in_threads(pack, how) as vision:
            await vision.warm_up()
            answer = await use(vision)
            await vision.close()
            return answer

    def run(pack: Path, use: Run, **given: Any) -> Any:
        by = by_processes if request.param == "processes" else by_threads
        return asyncio.run(by(pack, use, opening(**given)))

    return run


def test_an_image_gives_faces_with_crops_and_crops_give_embeddings(
    with_vision: Run, tiny_pack: Path, group: bytes
) -> None:
    async def use(vision: Vision) -> None:
        assert vision.dimension == 32 and vision.providers == ("CPUExecutionProvider",)
        assert vision.model == vision.pack.model
        faces = await vision.faces(group)
        assert len(faces) == 6
        assert all(face.crop.shape == (112, 112, 3) for face in faces)
        assert all(face.quality.detection_score == face.score for face in faces)
        embeddings = await vision.embed([face.crop for face in faces])
        assert embeddings.shape == (6, 32)
        for face, embedding in zip(faces, embeddings, strict=True):
            alone = await vision.embed([face.crop])
            assert np.abs(alone[0] - embedding).max() < 1e-5
        assert (await vision.embed([])).shape == (0, 32)

    with_vision(tiny_pack, use)


def test_no_face_is_an_empty_list_and_a_broken_image_is_refused(
    with_vision: Run, tiny_pack: Path, faceless: bytes, group: bytes
) -> None:
    async def use(vision: Vision) -> None:
        assert await vision.faces(faceless) == []
        with pytest.raises(ImageRefused) as refused:
            await vision.faces(group[: len(group) // 2])
        assert refused.value.code == "image_broken"
        assert len(await vision.faces(group)) == 6

    with_vision(tiny_pack, use)


def test_recognising_is_looking_and_embedding_the_largest_in_one(
    with_vision: Run, tiny_pack: Path, group: bytes, faceless: bytes
) -> None:
    async def use(vision: Vision) -> None:
        seen = await vision.recognise(group, most=3)
        faces = (await vision.faces(group))[:3]
        assert [face.box for face in seen.faces] == [face.box for face in faces]
        embeddings = await vision.embed([face.crop for face in faces])
        assert np.abs(seen.embeddings - embeddings).max() < 1e-5
        nobody = await vision.recognise(faceless)
        assert nobody.faces == [] and nobody.embeddings.shape == (0, 32)

    with_vision(tiny_pack, use)


@pytest.mark.parametrize("embed_batch", [1, 16])
def test_many_at_once_each_get_their_own(
    with_vision: Run, tiny_pack: Path, astronaut: bytes, embed_batch: int
) -> None:
    """Forty shifted copies: each answer is where its own copy has the face."""
    picture = Image.open(io.BytesIO(astronaut)).convert("RGB").crop((120, 20, 340, 240))

    def shifted(by: int) -> bytes:
        file = io.BytesIO()
        canvas = Image.new("RGB", (320, 240))
        canvas.paste(picture, (2 * by, 0))
        canvas.save(file, "JPEG", quality=95)
        return file.getvalue()

    async def one(vision: Vision, image: bytes) -> tuple[float, np.ndarray]:
        face = (await vision.faces(image))[0]
        return float(face.landmarks[2, 0]), (await vision.embed([face.crop]))[0]

    async def use(vision: Vision) -> None:
        answers = await asyncio.gather(*(one(vision, shifted(by)) for by in range(40)))
        noses = np.array([nose for nose, _ in answers])
        assert np.abs(noses - noses[0] - 2 * np.arange(40)).max() < 6
        alike = np.array([vector for _, vector in answers]) @ answers[0][1]
        assert alike.min() > 0.8

    with_vision(tiny_pack, use, embed_batch=embed_batch)


def test_one_face_that_cannot_be_embedded_does_not_harm_its_neighbours(
    with_vision: Run, tiny_pack: Path, group: bytes
) -> None:
    async def use(vision: Vision) -> None:
        crop = (await vision.faces(group))[0].crop
        answers = await asyncio.gather(
            *(vision.embed([each]) for each in (crop, np.zeros_like(crop), crop)),
            return_exceptions=True,
        )
        assert isinstance(answers[1], EmbeddingFailed)
        assert np.array_equal(answers[0], answers[2])

    with_vision(tiny_pack, use, embed_batch=8, workers=1)


@pytest.mark.parametrize("scale", [1.5, 8.0])
def test_the_largest_face_of_a_large_photo_is_told_in_its_own_pixels(
    decoder: Decoder, detector: Detector, astronaut: bytes, scale: float
) -> None:
    """Looked at at half the size, and cut from the whole where that has too few pixels."""
    picture = Image.open(io.BytesIO(astronaut)).convert("RGB")
    canvas = Image.new("RGB", (4096, 4096))
    canvas.paste(picture.resize((round(512 * scale),) * 2), (0, 0))
    file = io.BytesIO()
    canvas.save(file, "JPEG", quality=90)
    [face] = look(file.getvalue(), decoder, detector, Stages(), most=1)
    [reference] = look(astronaut, decoder, detector, Stages())
    assert np.abs(face.landmarks / scale - reference.landmarks).max() < 4
    assert face.quality.size == pytest.approx(reference.quality.size * scale, rel=0.15)
    assert np.corrcoef(face.crop.ravel(), reference.crop.ravel())[0, 1] > 0.9


def test_each_request_counts_its_own_stages(
    with_vision: Run, tiny_pack: Path, group: bytes
) -> None:
    async def use(vision: Vision) -> None:
        stages = begin()
        faces = await vision.faces(group)
        await vision.embed([face.crop for face in faces])
        assert {"decode", "detect", "align", "embed"} <= set(stages.seconds)
        assert all(seconds >= 0 for seconds in stages.seconds.values())

    with_vision(tiny_pack, use)


def test_a_full_queue_says_so_at_once(with_vision: Run, tiny_pack: Path, group: bytes) -> None:
    async def use(vision: Vision) -> None:
        answers = await asyncio.gather(
            *(vision.faces(group) for _ in range(12)), return_exceptions=True
        )
        assert any(isinstance(each, Overloaded) for each in answers)
        assert all(isinstance(each, Overloaded) or len(each) == 6 for each in answers)

    with_vision(tiny_pack, use, depth=2, workers=1)


def test_an_insightface_pack_works_the_same_way(
    with_vision: Run, shared_packs: Path, group: bytes
) -> None:
    async def use(vision: Vision) -> None:
        faces = await vision.faces(group)
        assert len(faces) == 6
        embeddings = await vision.embed([face.crop for face in faces])
        assert embeddings.shape == (6, 512)
        assert (embeddings @ embeddings.T)[~np.eye(6, dtype=bool)].max() < 0.35

    with_vision(shared_packs / "insightface-small", use)
