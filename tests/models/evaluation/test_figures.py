"""Rates count exactly, never let a tie through, and refuse what the counts cannot support."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from models.training.evaluation.figures import (
    NO_FACE,
    Rate,
    RateUnsupported,
    allowed,
    clopper_pearson,
    pair_scores,
    paired_cosines,
    rounded_up,
    supported,
    tar_at_far,
    threshold_at,
)

# Few values, so that ties are the rule.
SCORES = st.lists(st.integers(-10, 10).map(lambda n: n / 10), min_size=1, max_size=60)


@given(mated=SCORES, non_mated=SCORES, far=st.sampled_from([0.02, 0.05, 0.1, 0.29, 0.5, 0.99]))
def test_tar_at_far_is_that_of_brute_force(
    mated: list[float], non_mated: list[float], far: float
) -> None:
    most = math.floor(round(far * len(non_mated), 9))
    if most < 1:
        with pytest.raises(RateUnsupported):
            tar_at_far(np.array(mated), np.array(non_mated), far)
        return
    best = max(
        sum(score >= threshold for score in mated)
        for threshold in [*sorted(mated + non_mated), math.inf]
        if sum(score >= threshold for score in non_mated) <= most
    )
    point = tar_at_far(np.array(mated), np.array(non_mated), far)
    assert (point.accepted.count, point.accepted.total) == (best, len(mated))
    assert point.false.count == sum(score >= point.threshold for score in non_mated) <= most


def test_a_far_below_one_pair_is_refused_with_what_is_supported() -> None:
    scores = np.linspace(-1, 1, 3000)
    with pytest.raises(RateUnsupported, match=r"0\.0001 .* 3,000 .* of 0\.00033 and above"):
        tar_at_far(scores, scores, 1e-4)
    assert supported((1e-2, 1e-3, 1e-4), 3000) == (1e-2, 1e-3)
    with pytest.raises(RateUnsupported, match="rates of none"):
        threshold_at(np.empty(0), 0.1)


def test_fewer_than_thirty_false_matches_are_marked_imprecise() -> None:
    scores = np.linspace(-1, 1, 3000)
    assert not tar_at_far(scores, scores, 1e-2).imprecise
    point = tar_at_far(scores, scores, 1e-3)
    assert point.imprecise
    assert point.allowed == point.false.count == 3
    assert "imprecise" in str(point)
    assert point.described()["threshold"] >= point.threshold


def test_a_share_counts_as_it_is_written() -> None:
    assert allowed(0.29, 100) == 29
    assert allowed(1e-5, 100_000) == 1
    assert allowed(1e-5, 99_999) == 0
    assert threshold_at(np.array([0.1, 0.2]), 1.0) == 0.1


def test_no_mated_pair_is_an_error_not_a_rate() -> None:
    with pytest.raises(ValueError, match="no pairs"):
        tar_at_far(np.empty(0), np.ones(10), 0.5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_rate_and_fits_the_definition(
    counted: tuple[int, int],
) -> None:
    count, total = counted
    low, high = clopper_pearson(count, total)
    assert 0 <= low <= count / total <= high <= 1
    if count:
        assert stats.binom.sf(count - 1, total, low) == pytest.approx(0.025, rel=1e-6)
    if count < total:
        assert stats.binom.cdf(count, total, high) == pytest.approx(0.025, rel=1e-6)


def test_three_of_three_thousand_are_the_textbook_interval() -> None:
    low, high = clopper_pearson(3, 3000)
    assert (low, high) == (pytest.approx(2.1e-4, rel=0.03), pytest.approx(2.9e-3, rel=0.03))
    assert Rate(count=3, total=3000).described()["of"] == 3000


@pytest.mark.parametrize("count", [2, 7, 1030])
def test_all_pairs_are_scored_once(count: int) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(count, 4))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    labels = random.integers(0, 3, count)
    mated, non_mated = pair_scores(rows.astype(np.float32), labels)
    first, second = np.triu_indices(count, 1)
    same = labels[first] == labels[second]
    scores = (rows[first] * rows[second]).sum(axis=1)
    assert mated.dtype == np.float32
    assert np.allclose(np.sort(mated), np.sort(scores[same]), atol=1e-6)
    assert np.allclose(np.sort(non_mated), np.sort(scores[~same]), atol=1e-6)


def test_a_picture_without_a_face_scores_below_everything() -> None:
    rows = np.array([[1, 0], [1, 0], [np.nan, np.nan]], np.float32)
    mated, _ = pair_scores(rows, np.zeros(3, np.int64))
    assert mated.tolist() == [1, NO_FACE, NO_FACE]
    assert paired_cosines(rows, rows).tolist() == [1, 1, NO_FACE]


@given(st.floats(-1, 1), st.integers(1, 6))
def test_rounding_never_lowers_a_threshold(value: float, decimals: int) -> None:
    assert value <= rounded_up(value, decimals) <= value + 1.001 * 10**-decimals
