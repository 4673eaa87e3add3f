"""Curves are what the scores say, and are drawn into files beside the figures."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.training.evaluation import reports
from models.training.evaluation.curves import histogram, trade_off
from models.training.evaluation.figures import NO_FACE, tar_at_far
from models.training.evaluation.open_set import search


def test_every_point_of_a_curve_is_a_threshold_of_the_scores() -> None:
    random = np.random.default_rng(0)
    mated, non_mated = random.normal(0.4, 0.2, 300).round(2), random.normal(0, 0.2, 500).round(2)
    curve = trade_off(mated, non_mated)
    assert list(curve.false) == sorted(curve.false)
    assert list(curve.missed) == sorted(curve.missed, reverse=True)
    assert (curve.false[0], curve.false[-1]) == (0, 1)
    for far in (0.01, 0.1):
        point = tar_at_far(mated, non_mated, far)
        place = curve.false.index(point.false.rate)
        assert curve.missed[place] == pytest.approx(1 - point.rate)


def test_a_histogram_counts_every_score_but_those_of_no_face() -> None:
    found = histogram(np.array([0.1, 0.9, NO_FACE]), np.array([-0.5, 0.0]), bins=10)
    assert (sum(found.mated), sum(found.non_mated)) == (2, 2)
    assert (found.edges[0], found.edges[-1]) == (-0.5, 0.9)
    assert len(found.edges) == 11
    alone = histogram(np.array([0.5]), np.array([0.5]), bins=4)
    assert (sum(alone.mated), sum(alone.non_mated)) == (1, 1)


def test_figures_curves_and_plots_are_written_side_by_side(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(120, 8))
    rows[1::2] = rows[::2] + 0.5 * rows[1::2]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    labels = np.arange(120) // 2
    found = search(
        gallery=rows[:60:2],
        people=labels[:60:2],
        probes=rows[1:60:2],
        mates=labels[1:60:2],
        strangers=rows[60:],
    )
    measured = {"pairs": reports.all_pairs(rows, labels), "searches": reports.searches(found)}
    reports.write_reports(measured, tmp_path / "out", {"pack": "none"})
    written = {path.name for path in (tmp_path / "out").iterdir()}
    plots = {"pairs-roc.png", "pairs-det.png", "pairs-scores.png"}
    plots |= {"searches-det.png", "searches-cmc.png"}
    assert written == {"evaluation.json", "curves.json"} | plots
    for name in plots:
        with Image.open(tmp_path / "out" / name) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) > 300
            assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 3
    content = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert content["pack"] == "none"
    assert content["figures"]["pairs"]["mated_pairs"] == 60
    assert content["figures"]["searches"]["people_enrolled"] == 30
    curves = json.loads((tmp_path / "out" / "curves.json").read_text())
    assert len(curves["searches"]["cmc"]) == 20
    assert curves["searches"]["histogram"] is None


def test_curves_of_one_kind_of_score_or_none_apart_are_still_drawn(tmp_path: Path) -> None:
    apart = reports.comparisons(np.ones(5), -np.ones(5))
    reports.write_reports({"apart": apart}, tmp_path, {})
    assert (tmp_path / "apart-det.png").stat().st_size > 1000
