"""The whole way in miniature: photos, crops, a trained network, a measured pack, an answer.

The people are invented and the network is tiny and hardly trained: who is who is not what these
tests ask, but that every step takes what the one before it left.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from app.vision.pack import read_manifest, read_pack
from models.training import prepare
from models.training.data import open_source
from models.training.demo import demo, split
from models.training.errors import TrainingDataError
from models.training.trainer import Training
from tests.service import Service

PEOPLE = 96  # 87 are measured on
PICTURES = 3
SETTINGS = ["backbone=slim-tiny", "dimension=32", "epochs=2", "batch=8"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def pack(folder: Path) -> Path:
    torch.set_num_threads(1)
    return demo(None, folder, people=PEOPLE, settings=SETTINGS, pictures=PICTURES)


def test_a_pack_tells_what_it_was_made_of_and_what_it_is_worth(pack: Path, folder: Path) -> None:
    read = read_pack(pack)
    assert read.calibration is not None
    assert read.calibration.model == read.model
    training = read_manifest(pack / "pack.json").training
    assert training["data_fingerprint"] == open_source(folder / "trained-on").fingerprint
    assert (training["recipe"], training["seed"]) == ("demo", 1)
    run = training["run"]
    assert (run["backbone"], run["epochs"]) == ("slim-tiny", 2)
    assert (run["images"], run["identities"]) == (9 * PICTURES, 9)
    assert run["parity"]["cosine"] > 0.9999
    measured = json.loads((pack / "evaluation.json").read_text())
    assert training["figures"] == measured["figures"]
    assert measured["model"] == read.model
    card = (pack / "MODEL_CARD.md").read_text()
    assert "no recognizer to rely on" in card


def test_nobody_is_both_trained_and_measured_on(pack: Path, folder: Path) -> None:
    trained, kept_out = (
        {path.name for path in (folder / name).iterdir()} for name in ("trained-on", "kept-out")
    )
    assert (len(trained), len(kept_out)) == (9, 87)
    assert not trained & kept_out
    crops = open_source(folder / "crops")
    assert trained | kept_out == set(crops.identities)


def test_the_service_recognizes_with_it(
    pack: Path, folder: Path, serve: Callable[..., Service]
) -> None:
    read = read_pack(pack)
    calibration = read.calibration
    assert calibration is not None
    photos = {
        path.name: [(folder / "photos" / path.name / f"{n}.jpg").read_bytes() for n in (0, 1)]
        for path in sorted((folder / "kept-out").iterdir())[:4]
    }
    service = serve(ROLLCALL_PACK=str(pack))
    with service.client() as client:
        [model] = client.get("/models").json()["models"]
        assert (model["pack"], model["model"], model["dimension"]) == ("demo", read.model, 32)
        assert model["calibration"] is not None
        for name, (first, _) in photos.items():
            # Invented people are blends of the same faces: some are too alike for the service.
            answer = client.post(
                "/enroll",
                files={"images": first},
                data={"external_id": name, "on_duplicate": "allow"},
            )
            assert answer.status_code == 201, answer.text
            assert answer.json()["model"] == read.model

        target = calibration.fpir.max_fpir
        for name, (first, second) in photos.items():
            same = client.post(
                "/identify", files={"image": first}, data={"target_fpir": target}
            ).json()
            assert same["model"] == read.model
            assert same["gallery_size"] == len(photos)
            assert same["threshold_source"] == "calibration"
            assert same["threshold"] == calibration.threshold_for_fpir(target, len(photos))
            best = same["faces"][0]["candidates"][0]
            assert best["person"]["external_id"] == name
            # The same photo, looked at coarsely now: landmarks differ by a pixel or two, and a
            # network that has seen nine persons makes much of that.
            assert best["similarity"] > 0.9
            other = client.post(
                "/identify", files={"image": second}, data={"threshold": -1, "top_k": 4}
            ).json()
            found = {each["person"]["external_id"] for each in other["faces"][0]["candidates"]}
            assert found == set(photos)

        [first, second], [stranger, _] = list(photos.values())[:2]
        fmr = calibration.most_fmr
        for target_photo in (second, stranger):
            answer = client.post(
                "/verify",
                files={"source": first, "target": target_photo},
                data={"target_fmr": fmr},
            ).json()
            assert answer["model"] == read.model
            assert answer["threshold_source"] == "calibration"
            assert answer["threshold"] == calibration.threshold_for_fmr(fmr)
            assert answer["fmr"] == pytest.approx(fmr, rel=0.01)
            assert answer["verified"] == (answer["similarity"] >= answer["threshold"])


def test_a_second_run_goes_on_where_the_first_ended(
    pack: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("this was done before")

    monkeypatch.setattr(prepare._Work, "_photo", never)
    monkeypatch.setattr(Training, "step", never)
    model = read_pack(pack).model
    figures = read_manifest(pack / "pack.json").training["figures"]
    again = demo(None, folder, people=PEOPLE, settings=SETTINGS, pictures=PICTURES)
    assert again == pack
    assert read_pack(pack).model == model
    assert read_manifest(pack / "pack.json").training["figures"] == figures


def test_other_settings_are_another_training(pack: Path, folder: Path) -> None:
    with pytest.raises(ValueError, match="another recipe: train into another folder"):
        demo(folder / "photos", folder, people=0, settings=[*SETTINGS, "seed=2"])


def test_too_few_people_are_counted(tmp_path: Path) -> None:
    for number in range(90):
        (tmp_path / "crops" / f"p{number}").mkdir(parents=True)
    with pytest.raises(TrainingDataError, match="90 people have a face: 87 are needed"):
        split(tmp_path / "crops", tmp_path)
