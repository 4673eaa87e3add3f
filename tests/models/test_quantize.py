"""An INT8 recognizer is a model of its own, much like the one that it was made of."""

import argparse
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.vision.embed import Recognizer
from app.vision.pack import read_pack
from models.training import quantize

from .people import patterned_faces

STARTER = Path(__file__).parents[2] / "models" / "packs" / "starter"


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crops")
    faces = patterned_faces(6, 3)
    for number, (picture, label) in enumerate(zip(faces.pictures, faces.labels, strict=True)):
        person = folder / faces.identities[label]
        person.mkdir(exist_ok=True)
        Image.fromarray(picture).save(person / f"{number}.png")
    return folder


def asked(*words: str | Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    quantize.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def test_the_new_pack_embeds_much_alike_under_another_model(crops: Path, tmp_path: Path) -> None:
    out = tmp_path / "starter-int8"
    quantize.run(asked("--pack", STARTER, "--data", crops, "--out", out, "--slower-too"))
    old, new = read_pack(STARTER), read_pack(out)
    assert new.name == "starter-int8" and new.model != old.model
    assert new.calibration is None
    faces = patterned_faces(4, 2, seed=5).pictures
    before = Recognizer(old.recognizer, "cpu").embed(faces)
    after = Recognizer(new.recognizer, "cpu").embed(faces)
    cosines = (before * after).sum(axis=1)
    assert np.all(cosines > 0.95) and np.all(cosines < 1)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (quantize.Comparison(time=1.2, cosine=0.999), "1.20 times as long"),
        (quantize.Comparison(time=0.5, cosine=0.9), "cosine 0.9000"),
    ],
)
def test_what_is_slower_or_not_alike_is_refused_and_nothing_is_left(
    crops: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    found: quantize.Comparison,
    why: str,
) -> None:
    # What a machine would find is a matter of the machine.
    monkeypatch.setattr(quantize, "compare", lambda *_: found)
    out = tmp_path / "refused"
    with pytest.raises(ValueError, match=why):
        quantize.run(asked("--pack", STARTER, "--data", crops, "--out", out))
    assert not out.exists()


def test_a_pack_is_never_written_over_the_one_it_is_made_of(crops: Path) -> None:
    with pytest.raises(ValueError, match="another folder"):
        quantize.run(asked("--pack", STARTER, "--data", crops, "--out", STARTER))
