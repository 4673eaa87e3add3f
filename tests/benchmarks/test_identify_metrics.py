"""The figures of benchmarks/identify.py, on cases small enough to count by hand."""

import math

import pytest

from benchmarks.open_set import (
    Search,
    Share,
    allowed,
    false_negatives,
    false_positives,
    match_within,
    needed,
    threshold_at,
    wilson,
)

MATED = [
    Search("ann", (("ann", 0.9), ("bob", 0.2))),
    Search("ann", (("bob", 0.5), ("ann", 0.4))),
    Search("bob", (("ann", 0.3), ("cid", 0.2))),
    Search("cid", failure="face_not_found"),
]


def strangers(*best: float) -> list[Search]:
    return [Search(None, (("ann", similarity),)) for similarity in best]


def test_the_mate_is_found_at_its_rank_and_similarity() -> None:
    assert [search.mate_at() for search in MATED] == [(1, 0.9), (2, 0.4), None, None]


def test_cmc_counts_searches_that_failed_as_misses() -> None:
    assert match_within(MATED, 1) == Share(1, 4)
    assert match_within(MATED, 2) == Share(2, 4)
    assert match_within(MATED, 10) == Share(2, 4)


def test_a_mate_at_the_threshold_is_a_hit_and_just_below_it_a_miss() -> None:
    assert false_negatives(MATED, 0.4, rank=10) == Share(2, 4)
    assert false_negatives(MATED, 0.4001, rank=10) == Share(3, 4)


def test_a_mate_behind_somebody_else_is_a_miss_where_only_the_first_counts() -> None:
    assert false_negatives(MATED, 0.4, rank=1) == Share(3, 4)


def test_a_stranger_at_the_threshold_is_a_false_positive() -> None:
    searches = [*strangers(0.5, 0.3), Search(None, failure="face_not_found"), Search(None)]
    assert false_positives(searches, 0.3) == Share(2, 4)
    assert false_positives(searches, 0.3001) == Share(1, 4)
    assert false_positives(searches, -1.0) == Share(2, 4)


def test_the_threshold_lets_just_as_many_strangers_through_as_are_allowed() -> None:
    searches = strangers(*(number / 1000 for number in range(1000)))
    threshold = threshold_at(searches, 0.01)
    assert threshold == 0.9891
    assert false_positives(searches, threshold) == Share(10, 1000)


def test_ties_at_the_threshold_let_fewer_through_and_never_more() -> None:
    searches = strangers(*[0.7] * 3, *[0.6] * 20, *[0.1] * 977)
    threshold = threshold_at(searches, 0.01)
    assert threshold == 0.6001
    assert false_positives(searches, threshold) == Share(3, 1000)


def test_where_too_few_strangers_find_anybody_every_threshold_will_do() -> None:
    searches = [*strangers(*[0.5] * 10), *[Search(None, failure="face_not_found")] * 990]
    assert threshold_at(searches, 0.01) == -1.0


def test_a_rate_that_the_count_does_not_support_is_refused() -> None:
    assert needed(0.01) == 1000
    assert needed(0.001) == 10000
    with pytest.raises(ValueError, match="do not support FPIR"):
        threshold_at(strangers(*[0.5] * 999), 0.01)


@pytest.mark.parametrize(
    ("searches", "fpir", "most"), [(1500, 0.01, 15), (1599, 0.01, 15), (100, 0.29, 29), (5, 0.1, 0)]
)
def test_what_is_allowed_is_rounded_down(searches: int, fpir: float, most: int) -> None:
    assert allowed(searches, fpir) == most


def test_the_interval_is_wilsons() -> None:
    # By hand: (0.2 + 0.19207) -+ 1.95996 * sqrt(0.016 + 0.0096037), over 1.38415.
    assert wilson(2, 10) == pytest.approx((0.056682, 0.509838), abs=1e-6)
    assert wilson(0, 10) == pytest.approx((0.0, 0.277533), abs=1e-6)
    assert wilson(10, 10) == pytest.approx((0.722467, 1.0), abs=1e-6)


@pytest.mark.parametrize(("count", "total"), [(0, 0), (-1, 5), (6, 5)])
def test_there_is_no_interval_without_a_rate(count: int, total: int) -> None:
    with pytest.raises(ValueError, match="there is no rate"):
        wilson(count, total)


def test_a_search_without_candidates_reaches_no_threshold() -> None:
    assert Search(None).best == -math.inf
