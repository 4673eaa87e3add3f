"""Targets become thresholds, conservatively, and only where counts can vouch for them."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.vision.calibration import Calibration, read_calibration
from app.vision.errors import PackInvalid, TargetUnsupported
from app.vision.pack import read_pack
from tests.tiny_pack import write_tiny_calibration, write_tiny_pack


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_tiny_pack(tmp_path_factory.mktemp("calibrated") / "pack")
    write_tiny_calibration(folder)
    return folder


@pytest.fixture(scope="module")
def calibration(pack: Path) -> Calibration:
    found = read_pack(pack).calibration
    assert found is not None
    return found


def test_a_measured_rate_gives_the_measured_threshold(calibration: Calibration) -> None:
    for row in calibration.fmr:
        assert calibration.threshold_for_fmr(row.fmr) == pytest.approx(row.threshold, abs=1e-9)
        assert calibration.fmr_at(row.threshold) == pytest.approx(row.fmr)


def test_between_rows_the_threshold_is_linear_in_the_logarithm(calibration: Calibration) -> None:
    assert calibration.threshold_for_fmr(math.sqrt(0.01 * 0.001)) == pytest.approx(0.75)
    assert calibration.fmr_at(0.75) == pytest.approx(math.sqrt(0.01 * 0.001))


@given(st.floats(1e-4, 0.1), st.floats(1e-4, 0.1))
def test_a_stricter_target_never_lowers_the_threshold(
    calibration: Calibration, a: float, b: float
) -> None:
    low, high = sorted((a, b))
    assert calibration.threshold_for_fmr(low) >= calibration.threshold_for_fmr(high)


@given(st.floats(1e-4, 0.1))
def test_rounding_never_raises_the_rate(calibration: Calibration, target: float) -> None:
    threshold = calibration.threshold_for_fmr(target)
    assert threshold == round(threshold, 4)
    reached = calibration.fmr_at(threshold)
    assert reached is not None and reached <= target * (1 + 1e-6)


@pytest.mark.parametrize("target", [1e-5, 0.2])
def test_an_fmr_beyond_the_counts_is_refused_with_what_is_supported(
    calibration: Calibration, target: float
) -> None:
    with pytest.raises(TargetUnsupported, match=r"between 0.0001 and 0.1") as refused:
        calibration.threshold_for_fmr(target)
    assert refused.value.facts == {"least": 1e-4, "most": 0.1}
    assert calibration.default_for_fmr(target) in (0.9, 0.6)


def test_outside_of_the_table_fmr_is_bounded_or_unknown(calibration: Calibration) -> None:
    assert calibration.fmr_at(0.95) == pytest.approx(1e-4)
    assert calibration.fmr_at(0.59) is None


def test_the_law_of_fpir_is_the_written_one(calibration: Calibration) -> None:
    law = 0.66 + 0.005 * math.log(500) + 0.03 * -math.log(-math.log(1 - 0.01))
    assert calibration.threshold_for_fpir(0.01, 500) == pytest.approx(law, abs=1e-4)
    assert calibration.threshold_for_fpir(0.01, 500) >= law


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.floats(0.003, 0.5))
def test_a_larger_gallery_never_lowers_the_threshold(
    calibration: Calibration, a: int, b: int, target: float
) -> None:
    low, high = sorted((a, b))
    assert calibration.threshold_for_fpir(target, low) <= calibration.threshold_for_fpir(
        target, high
    )


def test_a_gallery_smaller_than_measured_is_treated_as_the_smallest_measured(
    calibration: Calibration,
) -> None:
    smallest = calibration.threshold_for_fpir(0.01, 10)
    assert calibration.threshold_for_fpir(0.01, 0) == smallest
    assert calibration.threshold_for_fpir(0.01, 1) == smallest


def test_an_fpir_or_a_size_beyond_the_counts_is_refused(calibration: Calibration) -> None:
    with pytest.raises(TargetUnsupported, match=r"between 0.003 and 0.5"):
        calibration.threshold_for_fpir(0.001, 100)
    with pytest.raises(TargetUnsupported, match="10,000 templates"):
        calibration.threshold_for_fpir(0.01, 10_001)


@given(st.floats(1e-9, 0.999), st.integers(0, 10**9))
def test_defaults_never_raise(calibration: Calibration, target: float, size: int) -> None:
    assert -1 <= calibration.default_for_fpir(target, size) <= 1
    assert 0.6 <= calibration.default_for_fmr(target) <= 0.9


def test_the_calibration_of_another_model_is_refused(pack: Path) -> None:
    with pytest.raises(PackInvalid, match="Calibrate the pack again"):
        read_calibration(pack / "calibration.json", "0" * 16)


def test_no_calibration_is_none(tmp_path: Path) -> None:
    assert read_calibration(tmp_path / "calibration.json", "0" * 16) is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"format": 2}, "format"),
        ({"surprise": 1}, "surprise"),
        ({"subjects": "many"}, "subjects"),
        ({"fmr": []}, "fmr"),
    ],
)
def test_a_wrong_calibration_names_the_file_and_the_field(
    tmp_path: Path, change: dict[str, object], named: str
) -> None:
    folder = write_tiny_pack(tmp_path / "pack")
    write_tiny_calibration(folder, **change)
    with pytest.raises(PackInvalid, match=f"calibration.json is wrong: .*{named}"):
        read_pack(folder)


def test_a_table_that_is_not_monotone_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_pack(tmp_path / "pack")
    path = write_tiny_calibration(folder)
    content = json.loads(path.read_text())
    content["fmr"].reverse()
    path.write_text(json.dumps(content))
    with pytest.raises(PackInvalid, match="descend"):
        read_pack(folder)
    path.write_text("{")
    with pytest.raises(PackInvalid, match="cannot be read"):
        read_pack(folder)
