"""Studies compare what they say, go on where they stopped, and draw what they found."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.training import study
from models.training.data.faces import Faces
from models.training.recipes import COMPARISON, TOY, Options
from models.training.study import SEEDS, STUDIES, Trial, attempt, some_people, table
from models.training.study_plots import draw
from tests.models.data.pictures import write_people
from tests.models.people import patterned_faces

TRAINED = patterned_faces(12, 5)
MEASURED = patterned_faces(12, 5, seed=9)
NON_MATED = 60 * 59 // 2 - 12 * 10  # pairs of its 60 pictures


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def trial(head: str, options: Options = (), *, seed: int = 1, group: str = "heads") -> Trial:
    recipe = replace(
        COMPARISON, head=head, head_options=options, seed=seed, dimension=16, batch=12, epochs=2
    )
    return Trial(group=group, name=head, recipe=recipe)


@pytest.mark.parametrize("head", ["cosface", "adacos"])
def test_an_attempt_gives_figures_on_people_it_was_not_trained_on(head: str) -> None:
    row = attempt(trial(head), TRAINED, MEASURED)
    assert (row["group"], row["name"], row["seed"]) == ("heads", head, 1)
    assert np.isfinite(row["loss"])
    assert row["non_mated"] == NON_MATED
    for far in (0.01, 0.001):
        found = row[f"tar_at_far_{far:g}"]
        assert found["tar"]["of"] == 12 * 10
        assert found["false_matches"]["count"] <= far * row["non_mated"]
    assert [point["step"] for point in row["curves"]] == ([5, 10] if head == "adacos" else [])
    assert all(point["scale"] > 0 for point in row["curves"])
    json.dumps(row)


def test_an_attempt_that_diverges_says_when() -> None:
    wild = trial("softmax")
    wild = replace(wild, recipe=replace(wild.recipe, learning_rate=1e18, clip_norm=1e30))
    row = attempt(wild, TRAINED, MEASURED)
    assert 1 <= row["diverged"] <= 10
    assert "tar_at_far_0.01" not in row


def test_the_toy_gives_points_on_the_circle() -> None:
    toy = Trial(group="toy", name="0.1", recipe=replace(TOY, epochs=1, batch=12))
    row = attempt(toy, TRAINED, TRAINED)
    assert np.linalg.norm(row["points"], axis=1) == pytest.approx(1, abs=1e-3)
    assert row["labels"] == TRAINED.labels.tolist()
    assert 0 <= row["least_angle_between_centres"] <= 360 / 12
    json.dumps(row)


def test_angles_of_the_toy_are_those_on_the_circle(monkeypatch: pytest.MonkeyPatch) -> None:
    # Four people of 21 faces each, evenly over 10 degrees; one of them lies across the seam.
    middles, spread = (-100.0, 0.0, 80.0, 180.0), np.linspace(-5, 5, 21)
    angles = torch.deg2rad(torch.tensor([[m + d for d in spread] for m in middles]).flatten())
    points = torch.stack([angles.cos(), angles.sin()], dim=1).float()

    def known(*_: Any) -> Tensor:
        return points

    monkeypatch.setattr(study, "embed", known)
    labels = np.repeat(np.arange(4), 21)
    faces = Faces(
        pictures=np.zeros((84, 112, 112, 3), np.uint8),
        labels=labels,
        identities=("a", "b", "c", "d"),
        fingerprint="0" * 64,
    )

    class Untrained:
        backbone = None

    figures = study.toy_figures(Untrained(), faces)
    assert figures["least_angle_between_centres"] == pytest.approx(80, abs=0.05)
    assert figures["mean_angle_within"] == pytest.approx(np.abs(spread).mean(), abs=0.05)
    # 90 degrees from middle to middle, less twice the 4.5 that hold nine faces of ten.
    assert figures["mean_gap"] == pytest.approx(81, abs=0.05)


def test_the_people_with_most_pictures_are_taken_in_the_order_of_their_names() -> None:
    faces = patterned_faces(4, 3, size=116)
    fewer = [*np.flatnonzero(faces.labels != 1)[:-1].tolist(), 3, 4]
    kept = np.sort(np.array(fewer))  # three of p00 and p02, two of p01 and p03
    uneven = replace(faces, pictures=faces.pictures[kept], labels=faces.labels[kept])
    chosen = some_people(uneven, people=3, most=2)
    assert chosen.identities == ("p00", "p01", "p02")
    assert chosen.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert np.array_equal(chosen.pictures, faces.crops()[[0, 1, 3, 4, 6, 7]])


def test_every_trial_of_a_study_has_a_key_of_its_own() -> None:
    keys = [one.key for make in STUDIES.values() for one in make()]
    assert len(set(keys)) == len(keys)
    heads = list(STUDIES["heads"]())
    assert {one.recipe.seed for one in heads} == set(SEEDS)
    # All else is equal: what differs is the head.
    assert {replace(one.recipe, head="", head_options=(), seed=0) for one in heads} == {
        replace(COMPARISON, head="", head_options=(), seed=0)
    }


def run(name: str, data: Path, val: Path, out: Path) -> None:
    parser = argparse.ArgumentParser()
    study.add_arguments(parser)
    words = [name, "--data", data, "--val", val, "--out", out, "--workers", "1"]
    study.run(parser.parse_args([str(word) for word in words]))


def test_a_study_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_people(tmp_path / "data", people=12, each=3)
    val = write_people(tmp_path / "val", people=12, each=5)
    out = tmp_path / "out"
    both = [trial("cosface"), trial("adacos")]

    def trials() -> Iterator[Trial]:
        return iter(both)

    monkeypatch.setitem(STUDIES, "heads", trials)
    done = attempt(both[0], TRAINED, MEASURED) | {"loss": 123.0}
    out.mkdir()
    (out / "heads.json").write_text(json.dumps([done]))
    run("heads", data, val, out)
    rows = json.loads((out / "heads.json").read_text())
    assert [row["name"] for row in rows] == ["adacos", "cosface"]
    assert rows[1] == json.loads(json.dumps(done))
    assert rows[0]["non_mated"] == NON_MATED
    assert "cosface" in capsys.readouterr().out
    for name in ("heads.png", "adacos.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")

    def none(*_: Any) -> None:
        raise AssertionError("everything is done")

    monkeypatch.setattr(study, "_attempt", none)
    before = (out / "heads.json").read_bytes()
    (out / "heads.png").unlink()
    run("heads", data, val, out)
    assert (out / "heads.json").read_bytes() == before
    assert (out / "heads.png").exists()


def row(name: str, rate: float, *, seed: int = 1, **more: Any) -> dict[str, Any]:
    figures = {f"tar_at_far_{far}": {"tar": {"rate": rate}} for far in ("0.01", "0.001")}
    return {"group": "g", "name": name, "seed": seed, "curves": [], **figures, **more}


def diverged(name: str) -> dict[str, Any]:
    return {"group": "g", "name": name, "seed": 1, "loss": float("nan"), "diverged": 3}


def test_a_table_has_the_best_first_and_the_lost_last() -> None:
    rows = [row("a", 0.2), row("b", 0.5), row("b", 0.7, seed=2), diverged("a"), diverged("c")]
    lines = table(rows).splitlines()
    assert [line.split()[0] for line in lines] == ["b", "a", "c"]
    assert "60.0 ± 14.1" in lines[0] and "(2 seeds)" in lines[0]
    assert "20.0 ±  0.0" in lines[1] and "(1 seeds)" in lines[1]
    assert "diverged" in lines[2]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("margins", [row("0.00", 0.3), row("0.20", 0.4), row("features not normalised", 0.2)]),
        ("margins", [row("0.00", 0.3), diverged("0.20")]),
        ("heads", [row("cosface", 0.3), diverged("adacos"), diverged("adacos-fixed")]),
        (
            "heads",
            [
                row("adacos", 0.3, curves=[{"step": 5, "scale": 7.0}, {"step": 10, "scale": 6.0}]),
                row("adacos-fixed", 0.2, curves=[{"step": 5, "scale": 6.5}]),
            ],
        ),
        (
            "toy",
            [
                {"name": "0.0", "mean_gap": 8.0, "points": [[1.0, 0.0]], "labels": [0]},
                diverged("0.1"),
            ],
        ),
    ],
)
def test_every_study_can_be_drawn_whatever_diverged(
    name: str, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    draw(name, rows, tmp_path / f"{name}.png")
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    scales = any(row.get("curves") for row in rows)
    assert (tmp_path / "adacos.png").exists() == scales


def test_a_study_of_which_everything_diverged_draws_nothing(tmp_path: Path) -> None:
    draw("heads", [diverged("cosface")], tmp_path / "heads.png")
    assert not list(tmp_path.iterdir())
