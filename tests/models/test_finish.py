"""No pack is finished without its figures, and the card says what the files say."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.vision.errors import PackInvalid
from app.vision.pack import hash_file, read_manifest, read_pack
from models.training.evaluation.figures import Rate, tar_at_far
from models.training.finish import PackIncomplete, finish
from models.training.measures import accuracies, measures
from tests.tiny_pack import write_tiny_calibration, write_tiny_pack

FAILURES = "- Faces in profile."


def figures() -> dict[str, Any]:
    """As evaluate writes them: with accuracies, rates in lists, groups."""
    point = tar_at_far(
        *(_scores(0.9, 300, hits=240), _scores(0.2, 1000, hits=10)), far=0.01
    ).described()
    return {
        "lfw": {
            "accuracy": 0.95183,
            "accuracy_standard_error": 0.00445,
            "folds": [0.95, 0.96],
            "tar_at_far": [point],
        },
        "identification": {
            "people_enrolled": 747,
            "fnir_at_fpir": [
                {
                    "target_fpir": 0.01,
                    "threshold": 0.6032,
                    "imprecise": True,
                    "fnir": Rate(count=3, total=20).described(),
                }
            ],
        },
        "by_group": [
            {"group": "old | young", "fmr": Rate(count=1, total=5000).described(), "fnmr": None}
        ],
    }


def _scores(high: float, count: int, hits: int) -> Any:
    import numpy as np

    return np.where(np.arange(count) < hits, high, 0.0)


def write_evaluation(folder: Path, **changes: Any) -> None:
    content = {
        "model": read_pack(folder).model,
        "data": {"lfw": "Labeled Faces in the Wild"},
        "figures": figures(),
    }
    (folder / "evaluation.json").write_text(json.dumps(content | changes))


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A pack as export leaves it."""
    folder = write_tiny_pack(tmp_path / "small")
    content = json.loads((folder / "pack.json").read_text())
    content["data"] = "CelebA, for non-commercial research"
    content["training"] = {
        "recipe": "a-test",
        "seed": 7,
        "data_fingerprint": "ab" * 32,
        "commit": "c0ffee",
        "run": {
            "backbone": "slim",
            "parameters": 1_544_768,
            "multiply_adds": 112_114_560,
            "recipe": {"name": "a-test", "margin_from": 0.05, "teacher_weight": 8.0},
            "teacher": "mobilefacenet-128 (Apache-2.0)",
            "images": 12_345,
            "identities": 678,
            "epochs": 1.5,
            "validation": {"celeba/val": 0.6142},
        },
    }
    (folder / "pack.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def measured(pack: Path) -> Path:
    """The same after evaluate and calibrate."""
    write_tiny_calibration(pack)
    write_evaluation(pack)
    return pack


def test_what_is_missing_is_named_all_at_once_and_nothing_is_written(pack: Path) -> None:
    before = (pack / "pack.json").read_bytes()
    with pytest.raises(PackIncomplete) as refusal:
        finish(pack, failures=None)
    for part in ("evaluation.json: run evaluate", "calibration.json: run calibrate", "--failures"):
        assert part in str(refusal.value)
    assert (pack / "pack.json").read_bytes() == before
    assert not (pack / "MODEL_CARD.md").exists()


def test_figures_go_into_the_pack_and_the_service_reads_it(measured: Path) -> None:
    model = read_pack(measured).model
    finish(measured, failures=FAILURES)
    training = read_manifest(measured / "pack.json").training
    assert training["figures"] == figures()
    assert training["run"]["images"] == 12_345
    assert read_pack(measured).model == model
    calibrated = read_manifest(measured / "pack.json").calibration_sha256
    assert calibrated == hash_file(measured / "calibration.json")
    first = (measured / "MODEL_CARD.md").read_text()
    finish(measured, failures=FAILURES)
    assert (measured / "MODEL_CARD.md").read_text() == first


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"model": "0" * 16}, "it was measured on model 0000000000000000, the recognizer here is"),
        ({"model": None}, "it was measured on model None"),
        ({"figures": {}}, "evaluation.json holds no rate with its counts"),
        ({"figures": {"lfw": {"accuracy": 0.99}}}, "holds no rate with its counts"),
    ],
)
def test_figures_of_another_recognizer_or_none_at_all_are_refused(
    changes: dict[str, Any], complaint: str, measured: Path
) -> None:
    write_evaluation(measured, **changes)
    with pytest.raises(PackIncomplete, match=complaint):
        finish(measured, failures=FAILURES)


def test_an_evaluation_that_is_no_json_is_named(measured: Path) -> None:
    (measured / "evaluation.json").write_text("{")
    with pytest.raises(PackIncomplete, match=r"a readable evaluation\.json"):
        finish(measured, failures=FAILURES)


def test_a_calibration_of_another_recognizer_is_refused(measured: Path) -> None:
    write_tiny_calibration(measured, model="0" * 16)
    with pytest.raises(PackInvalid, match="was made for model 0000000000000000"):
        finish(measured, failures=FAILURES)


def test_without_calibration_takes_a_reason_that_the_card_repeats(pack: Path) -> None:
    write_evaluation(pack)
    finish(pack, failures=FAILURES, without_calibration="no other people at hand")
    assert "no other people at hand" in (pack / "MODEL_CARD.md").read_text()
    training = read_manifest(pack / "pack.json").training
    assert training["without_calibration"] == "no other people at hand"

    write_tiny_calibration(pack)
    with pytest.raises(PackIncomplete, match=r"there is a calibration\.json"):
        finish(pack, failures=FAILURES, without_calibration="no other people at hand")
    finish(pack, failures=FAILURES)
    assert "without_calibration" not in read_manifest(pack / "pack.json").training


def test_a_folder_that_is_no_pack(tmp_path: Path) -> None:
    with pytest.raises(PackInvalid, match="is no pack"):
        finish(tmp_path, failures=FAILURES)


def test_the_card_says_what_the_files_say(measured: Path) -> None:
    finish(measured, failures=FAILURES, limits="For tests alone.")
    card = (measured / "MODEL_CARD.md").read_text()
    for said in (
        "# small 0",
        "distilled",
        f"model `{read_pack(measured).model}`",
        "slim, 1,544,768 parameters, 112 M multiply-adds",
        "Trained on: CelebA, for non-commercial research",
        "12,345 pictures of 678 people",
        "`" + "ab" * 32 + "`",
        "Teacher: mobilefacenet-128 (Apache-2.0)",
        "Measured on: lfw: Labeled Faces in the Wild",
        "| seed | 7 |",
        "| commit | c0ffee |",
        '"margin_from": 0.05',
        "| celeba/val | 61.42 % |",
        "lfw: **95.18 % ± 0.45**",
        "| lfw, tar at far, far 0.01, tar, imprecise | 80.00 % | 240 of 300 | 75.02 % to 84.38 % |",
        "fnir, imprecise | 15.00 % | 3 of 20 | 3.21 % to 37.89 % | 0.6032 |",
        r"| by group, old \| young, fmr | 0.02 % | 1 of 5,000 |",
        "| 0.01 | 0.7000 | 1,000 of 100,000 | 0.005 to 0.02 |",
        "galleries of 10 to 1,000 people",
        "## Failure cases\n- Faces in profile.",
        "For tests alone.",
        "## Licence\nMIT",
    ):
        assert said in card, said
    for heading in ("## By group", "## Calibration", "## Intended use and limits", "interval"):
        assert heading in card
    assert "No figure here is split by group" not in card
    assert len(card.splitlines()) == len(card.rstrip().splitlines())


def test_a_card_without_groups_and_teacher_says_so(measured: Path) -> None:
    content = json.loads((measured / "pack.json").read_text())
    del content["training"]["run"]
    (measured / "pack.json").write_text(json.dumps(content))
    write_evaluation(measured, figures={"lfw": figures()["lfw"]})
    finish(measured, failures=FAILURES)
    card = (measured / "MODEL_CARD.md").read_text()
    assert "No figure here is split by group" in card
    assert "trained from scratch on labels alone" in card
    assert "Let no decision" in card or "let no decision" in card


def test_rates_are_found_wherever_they_stand() -> None:
    found = {" ".join(each.path): each for each in measures(figures())}
    assert list(found) == [
        "lfw tar_at_far far 0.01 tar",
        "lfw tar_at_far far 0.01 false_matches",
        "identification fnir_at_fpir target_fpir 0.01 fnir",
        "by_group old | young fmr",
    ]
    fnir = found["identification fnir_at_fpir target_fpir 0.01 fnir"]
    assert (fnir.count, fnir.total, fnir.threshold, fnir.imprecise) == (3, 20, 0.6032, True)
    [accuracy] = accuracies(figures())
    assert (accuracy.path, accuracy.mean) == (("lfw",), 0.95183)
