"""What the benchmark of search computes itself: truth, recall, probes."""

import numpy as np
import pytest

from benchmarks.rivals import TOP
from benchmarks.search import (
    MATE,
    Parts,
    loaded,
    made_up_probes,
    recall,
    true_scores,
    unit_vectors,
)


@pytest.fixture(scope="module")
def parts() -> Parts:
    random = np.random.default_rng(5)
    return Parts(loaded(unit_vectors(random, 4000) for _ in range(3)))


def test_rows_are_taken_by_their_number_in_order_of_arrival(parts: Parts) -> None:
    random = np.random.default_rng(5)
    rows = np.concatenate([unit_vectors(random, 4000) for _ in range(3)])
    numbers = np.array([0, 1023, 1024, 11_999, 7000])
    assert np.array_equal(parts.take(numbers), rows[numbers])


def test_each_probe_has_its_mate_at_the_stated_cosine(parts: Parts) -> None:
    truth = parts.true_similarities(made_up_probes(parts, 20))
    assert truth[:, 0] == pytest.approx(MATE, abs=1e-5)
    assert np.all(truth[:, 1] < MATE / 2)


def test_recall_counts_what_is_as_good_as_the_truth(parts: Parts) -> None:
    probes = made_up_probes(parts, 2)
    rows = np.concatenate(parts.parts)
    best = np.argsort(-(probes @ rows.T), axis=1)[:, :TOP]
    truth = parts.true_similarities(probes)
    assert recall(true_scores(best, parts, probes), truth, TOP) == 1
    best[0, 1:] = -1  # one query gave its mate alone
    scores = true_scores(best, parts, probes)
    assert recall(scores, truth, 1) == 1
    assert recall(scores, truth, TOP) == 0.55
    best[1, 0] = best[1, 1]  # the other lost its mate
    assert recall(true_scores(best, parts, probes), truth, 1) == 0.5
