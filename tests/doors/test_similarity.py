"""Similarities from 0 to 100: pinned to false match rates, rising, and the same both ways."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.doors.similarity import Scale, scale_of
from app.settings import Settings
from app.vision.calibration import Calibration, read_calibration
from app.vision.pack import read_pack
from tests.service import ROOT
from tests.tiny_pack import write_tiny_calibration, write_tiny_pack

STARTER = ROOT / "models" / "packs" / "starter"


def starter() -> Calibration:
    found = read_calibration(STARTER / "calibration.json", read_pack(STARTER).model)
    assert found is not None
    return found


SCALES = {
    "starter": scale_of(starter(), 0.4),
    "none": scale_of(None, 0.4),
    "none, and a threshold at the end": scale_of(None, 1.0),
    "none, and a threshold at the beginning": scale_of(None, -1.0),
}
scales = st.sampled_from(sorted(SCALES)).map(SCALES.__getitem__)
cosines = st.floats(-1, 1)
percents = st.floats(0, 100)


@given(scales, cosines, cosines)
def test_a_similarity_rises_with_the_cosine_and_lies_between_0_and_100(
    scale: Scale, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    assert 0 <= scale.percent(low) <= scale.percent(high) <= 100
    if high - low > 1e-9:
        assert scale.percent(low) < scale.percent(high)
    assert (scale.percent(-1), scale.percent(1)) == (0, 100)
    assert (scale.percent(-1.0000001), scale.percent(1.0000001)) == (0, 100)


@given(scales, cosines, percents)
def test_there_and_back_is_the_same(scale: Scale, cosine: float, percent: float) -> None:
    assert scale.cosine(scale.percent(cosine)) == pytest.approx(cosine, abs=1e-9)
    assert scale.percent(scale.cosine(percent)) == pytest.approx(percent, abs=1e-9)


@given(scales, cosines, percents)
def test_what_reaches_a_threshold_is_found_and_never_said_to_lie_below_it(
    scale: Scale, cosine: float, percent: float
) -> None:
    if scale.percent(cosine) >= percent:
        assert cosine >= scale.floor(percent)  # so the search offers it
        assert scale.told(cosine) >= percent - 1e-9
    else:
        assert scale.told_of_miss(cosine) < percent


@given(scales, cosines)
def test_no_more_is_told_than_four_decimals_of_the_cosine(scale: Scale, cosine: float) -> None:
    told = scale.cosine(scale.told(cosine))
    assert told == pytest.approx(round(told, 4), abs=1e-9)
    assert cosine - 1e-9 <= told <= cosine + 1e-4 + 1e-9


@pytest.mark.parametrize(("similarity", "fmr"), [(50, 1e-1), (65, 1e-2), (80, 1e-3), (99, 1e-4)])
def test_thresholds_mean_their_false_match_rates(similarity: float, fmr: float) -> None:
    """Whoever asks for a similarity gets what whoever asks for its FMR gets."""
    calibration, scale = starter(), SCALES["starter"]
    assert scale.cosine(similarity) == pytest.approx(calibration.threshold_for_fmr(fmr), abs=1e-9)
    measured = calibration.fmr_at(scale.cosine(similarity))
    assert measured is not None and measured <= fmr * 1.001


def test_beyond_99_every_decade_is_another_nine_as_far_as_it_was_measured() -> None:
    calibration, scale = starter(), SCALES["starter"]
    assert calibration.least_fmr == 3e-5
    assert scale.percent(calibration.threshold_for_fmr(3e-5)) == pytest.approx(99.7)
    assert 99.7 < scale.percent(0.8) < 100


def test_without_a_calibration_80_is_the_default_threshold() -> None:
    assert SCALES["none"].cosine(80) == pytest.approx(Settings().default_threshold)


def test_rates_at_one_cosine_promise_the_least_of_them(tmp_path: Path) -> None:
    pack = write_tiny_pack(tmp_path / "tiny")
    rows = [
        {"fmr": fmr, "threshold": at, "errors": 1, "pairs": 10_000, "interval": [fmr, fmr]}
        for fmr, at in ((0.1, 0.3), (0.01, 0.5), (0.001, 0.5), (0.0003, 0.6))
    ]
    path = write_tiny_calibration(pack, fmr=rows)
    calibration = read_calibration(path, read_pack(pack).model)
    scale = scale_of(calibration, 0.4)
    assert scale.percent(0.5) == pytest.approx(65)
    # It does not reach 1 in 10,000, so no similarity below that of the ends of the scale means it.
    assert scale.percent(0.6) < 99
