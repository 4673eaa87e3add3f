"""Open-set searches: strangers set the threshold, a miss is a mate too low, too late or lost."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.training.evaluation.figures import NO_FACE, RateUnsupported
from models.training.evaluation.open_set import (
    MISSED,
    Searches,
    cmc,
    described,
    first_scores,
    fnir,
    fnir_at_fpir,
    search,
)


def unit(random: np.random.Generator, count: int, dimension: int = 5) -> NDArray[np.float32]:
    rows = random.normal(size=(count, dimension))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@pytest.fixture(scope="module")
def trial() -> dict[str, Any]:
    """30 persons with one to three templates, some lost; probes near their mates, some lost."""
    random = np.random.default_rng(3)
    people = np.repeat(random.permutation(30), random.integers(1, 4, 30))
    centres = unit(random, 30)
    gallery = centres[people] + 0.5 * unit(random, len(people))
    mates = random.integers(0, 30, 90)
    probes = centres[mates] + 0.7 * unit(random, 90)
    rows = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (gallery, probes)]
    rows[0][random.choice(len(people), 6, replace=False)] = np.nan
    rows[1][:4] = np.nan
    strangers = unit(random, 50)
    strangers[0] = np.nan
    return {
        "gallery": rows[0].astype(np.float32),
        "people": people.astype(np.int64),
        "probes": rows[1].astype(np.float32),
        "mates": mates,
        "strangers": strangers,
    }


def naive_search(
    gallery: NDArray[np.float32], people: NDArray[np.int64], probe: NDArray[np.float32]
) -> dict[int, float]:
    best: dict[int, float] = {}
    for row, person in zip(gallery, people.tolist(), strict=True):
        score = float(row @ probe)
        best[person] = max(best.get(person, NO_FACE), NO_FACE if np.isnan(score) else score)
    return best


def test_figures_are_those_of_a_loop(trial: dict[str, Any]) -> None:
    searches = search(**trial)
    point = fnir_at_fpir(searches, 0.1)
    offered = sorted(
        max(naive_search(trial["gallery"], trial["people"], probe).values())
        for probe in trial["strangers"]
    )
    assert searches.strangers == pytest.approx(
        [max(naive_search(trial["gallery"], trial["people"], probe).values())
         for probe in trial["strangers"]], abs=1e-6
    )  # fmt: skip
    assert offered[-6] < point.threshold <= offered[-5]
    misses, late, within = 0, 0, [0] * 20
    for probe, mate in zip(trial["probes"], trial["mates"].tolist(), strict=True):
        scores = naive_search(trial["gallery"], trial["people"], probe)
        mine = scores[mate]
        rank = sum(score >= mine for score in scores.values()) if mine > NO_FACE else 99
        misses += mine < point.threshold or rank > 1
        late += mine < point.threshold
        for r in range(20):
            within[r] += rank <= r + 1
    assert point.fpir.count == 5
    assert point.fnir.count == misses
    assert point.fnir_any_rank.count == late
    assert point.fnir.total == 90
    assert [rate.count for rate in cmc(searches)] == within


def test_the_cmc_never_falls_and_a_lost_probe_is_found_at_no_rank(
    trial: dict[str, Any],
) -> None:
    searches = search(**trial)
    counts = [rate.count for rate in cmc(searches, ranks=40)]
    assert counts == sorted(counts)
    assert counts[-1] <= 86
    assert (searches.ranks[:4] == MISSED).all()
    assert (first_scores(searches)[:4] == NO_FACE).all()


def test_a_person_takes_one_place_whatever_the_templates() -> None:
    gallery = np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32)
    searches = search(
        gallery=gallery,
        people=np.array([7, 7, 9]),
        probes=np.array([[1, 0]], np.float32),
        mates=np.array([9]),
        strangers=np.empty((0, 2), np.float32),
    )
    assert searches.people == 2
    assert searches.ranks.tolist() == [2]


def test_somebody_just_as_similar_comes_first() -> None:
    searches = search(
        gallery=np.array([[1, 0], [1, 0]], np.float32),
        people=np.array([0, 1]),
        probes=np.array([[1, 0]], np.float32),
        mates=np.array([0]),
        strangers=np.empty((0, 2), np.float32),
    )
    assert searches.ranks.tolist() == [2]
    assert fnir(searches, rank=1, threshold=0).count == 1
    assert fnir(searches, rank=2, threshold=0).count == 0


def test_a_probe_without_a_person_in_the_gallery_is_no_mated_search() -> None:
    rows = np.eye(2, dtype=np.float32)
    with pytest.raises(ValueError, match="1 of 2 mated probes"):
        search(
            gallery=rows,
            people=np.array([0, 1]),
            probes=rows,
            mates=np.array([1, 2]),
            strangers=rows,
        )
    with pytest.raises(ValueError, match="gallery is empty"):
        search(
            gallery=rows[:0],
            people=np.array([], np.int64),
            probes=rows,
            mates=np.array([1, 2]),
            strangers=rows,
        )


def test_an_fpir_below_one_stranger_is_refused_and_named() -> None:
    searches = Searches(
        people=3,
        mates=np.array([0.9], np.float32),
        ranks=np.array([1]),
        strangers=np.linspace(0, 1, 99, dtype=np.float32),
    )
    with pytest.raises(RateUnsupported, match="99 non-mated"):
        fnir_at_fpir(searches, 0.01)
    found = described(searches)
    assert found["unsupported_fpirs"] == [0.01, 0.001]
    assert [point["target_fpir"] for point in found["fnir_at_fpir"]] == [0.1]
    assert found["fnir_at_fpir"][0]["imprecise"]
