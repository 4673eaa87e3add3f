"""Photos go through the pack's own detector once; the cache knows whose work it holds."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.types import Box, Detection
from app.vision.embed import Recognizer
from app.vision.pack import read_pack
from models.training.errors import TrainingDataError
from models.training.evaluation import photos
from models.training.evaluation.people import inner, labelled_crops, labelled_photos
from models.training.evaluation.photos import align_photos, central_face


@pytest.fixture
def folder(tmp_path: Path, hanks: bytes, astronaut: bytes, faceless: bytes) -> Path:
    """A folder a person: two with a face, one without; small, so that the test is quick."""
    for person, content in (("tom", hanks), ("eileen", astronaut), ("cup", faceless)):
        picture = Image.open(io.BytesIO(content)).convert("RGB")
        picture.thumbnail((320, 320))
        (tmp_path / "photos" / person).mkdir(parents=True)
        picture.save(tmp_path / "photos" / person / "1.png")
    return tmp_path / "photos"


def test_a_photo_without_a_face_is_a_row_of_nan(folder: Path, tiny_pack: Path) -> None:
    pack = read_pack(tiny_pack)
    people = labelled_photos(folder, pack=pack, recognizer=Recognizer(pack.recognizer, "cpu"))
    assert people.pictures == ("cup/1.png", "eileen/1.png", "tom/1.png")
    assert people.persons == ("cup", "eileen", "tom")
    assert people.labels.tolist() == [0, 1, 2]
    assert people.missed == ("cup/1.png",)
    assert np.linalg.norm(people.rows[1:], axis=1) == pytest.approx([1, 1])


def test_the_cache_goes_by_content_and_detector(
    folder: Path, tiny_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = read_pack(tiny_pack).detector
    cache = tmp_path / "kept" / "crops"
    names = ["cup/1.png", "eileen/1.png", "tom/1.png"]
    first = align_photos(folder, names, part, cache)
    assert set(first) == set(names[1:])

    calls: list[str] = []
    work = photos.decoded
    monkeypatch.setattr(photos, "decoded", lambda content, name: calls.append(name) or work(
        content, name))  # fmt: skip
    (folder / "tom").rename(folder / "thomas")
    names[2] = "thomas/1.png"
    again = align_photos(folder, names, part, cache)
    assert calls == []
    assert (again["thomas/1.png"] == first["tom/1.png"]).all()

    (folder / "cup" / "1.png").write_bytes((folder / "eileen" / "1.png").read_bytes() + b"\0")
    assert "cup/1.png" in align_photos(folder, names, part, cache)
    assert [Path(name).parent.name for name in calls] == ["cup"]

    with np.load(cache) as kept:
        content = dict(kept)
    with cache.open("wb") as file:
        np.savez(file, **{**content, "detector": "0" * 64})
    align_photos(folder, names, part, cache)
    assert len(calls) == 4


def test_a_photo_that_cannot_be_read_is_named(folder: Path, tiny_pack: Path) -> None:
    (folder / "tom" / "1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(TrainingDataError, match=r"tom/1.png: "):
        align_photos(folder, ["tom/1.png"], read_pack(tiny_pack).detector)


def test_the_face_in_the_middle_is_meant_else_the_largest() -> None:
    points = np.zeros((5, 2), np.float32)
    large = Detection(Box(0, 0, 60, 60), points, 0.9)
    middle = Detection(Box(80, 80, 40, 40), points, 0.5)
    assert central_face([large, middle], 200, 200) is middle
    assert central_face([large], 200, 200) is large
    assert central_face([], 200, 200) is None


def test_larger_crops_have_the_crop_in_their_middle(tmp_path: Path, tiny_pack: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (160, 160, 3), np.uint8)
    assert (inner(pixels, "x") == pixels[24:136, 24:136]).all()
    with pytest.raises(TrainingDataError, match=r"x is 160x150: aligned crops are square"):
        inner(pixels[:150], "x")
    for person, size in (("a", 112), ("b", 160), ("c", 112)):
        margin = (160 - size) // 2
        crop = pixels[margin : 160 - margin, margin : 160 - margin]
        (tmp_path / "crops" / person).mkdir(parents=True)
        Image.fromarray(crop).save(tmp_path / "crops" / person / "1.png")
    recognizer = Recognizer(read_pack(tiny_pack).recognizer, "cpu")
    people = labelled_crops(tmp_path / "crops", recognizer, without=frozenset({"c"}))
    assert people.persons == ("a", "b")
    assert people.rows[0] == pytest.approx(people.rows[1], abs=1e-5)
    with pytest.raises(TrainingDataError, match="nobody but"):
        labelled_crops(tmp_path / "crops", recognizer, without=frozenset("abc"))
