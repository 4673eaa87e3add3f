"""Ten folds as published: file order is the protocol, the threshold comes from the other nine."""

import numpy as np
import pytest

from models.training.evaluation.figures import NO_FACE
from models.training.evaluation.verification import ten_fold, verify


def naive(scores: list[float], mated: list[bool], folds: int) -> tuple[list[float], list[float]]:
    """The protocol, word by word."""
    count = len(scores)
    sizes = [count // folds + (fold < count % folds) for fold in range(folds)]
    numbers = iter(range(count))
    parts = [[next(numbers) for _ in range(size)] for size in sizes]

    def right(pair: int, threshold: float) -> bool:
        return scores[pair] != NO_FACE and (2 - 2 * scores[pair] < threshold) == mated[pair]

    accuracies, chosen = [], []
    for part in parts:
        others = [pair for other in parts if other is not part for pair in other]
        best, best_count = 0.0, -1
        for step in range(400):
            threshold = float(np.arange(0, 4, 0.01)[step])
            hits = sum(right(pair, threshold) for pair in others)
            if hits > best_count:
                best, best_count = threshold, hits
        accuracies.append(sum(right(pair, best) for pair in part) / len(part))
        chosen.append(1 - best / 2)
    return accuracies, chosen


@pytest.mark.parametrize("count", [10, 60, 67])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_the_published_protocol(count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    mated = random.random(count) < 0.5
    scores = np.clip(random.normal(np.where(mated, 0.5, 0.1), 0.3), -1, 1).round(2)
    scores[random.random(count) < 0.05] = NO_FACE
    found = ten_fold(scores, mated)
    accuracies, thresholds = naive(scores.tolist(), mated.tolist(), 10)
    assert found.accuracies == pytest.approx(accuracies)
    assert found.thresholds == pytest.approx(thresholds)


def test_the_threshold_of_a_fold_is_that_of_the_other_nine() -> None:
    # Nine folds separate at .3, the last is shifted up: its own best threshold would be right.
    scores = np.array([0.5, 0.1] * 9 + [0.9, 0.7])
    mated = np.array([True, False] * 10)
    found = ten_fold(scores, mated)
    assert found.accuracies == (1.0,) * 9 + (0.5,)
    assert found.accuracy == pytest.approx(0.95)
    assert found.standard_error == pytest.approx(0.05)
    assert found.thresholds[-1] == pytest.approx(0.495)  # the strictest of those that are best


def test_the_order_of_the_file_matters() -> None:
    random = np.random.default_rng(5)
    mated = np.arange(200) % 2 == 0
    # Every fold has pairs of its own difficulty; shuffled, all folds are alike.
    scores = np.repeat(np.linspace(0, 0.5, 10), 20) + np.where(mated, 0.2, 0) + 0.01
    order = random.permutation(200)
    assert ten_fold(scores, mated) != ten_fold(scores[order], mated[order])


def test_a_pair_without_a_face_is_wrong_whatever_it_shows() -> None:
    scores = np.array([0.9, -0.9] * 10)
    mated = np.array([True, False] * 10)
    scores[:2] = NO_FACE
    found = verify(scores, mated, fars=(0.1, 0.01))
    assert found.folded.accuracies == (0.0,) + (1.0,) * 9
    assert (found.correct.count, found.correct.total) == (18, 20)
    assert found.without_a_face == 2
    assert [point.accepted.count for point in found.points] == [9]
    assert found.refused == (0.01,)
    assert found.described()["unsupported_fars"] == [0.01]


def test_too_few_pairs_or_truths_are_refused() -> None:
    with pytest.raises(ValueError, match="10 folds"):
        ten_fold(np.ones(9), np.ones(9, bool))
    with pytest.raises(ValueError, match="20 scores and 19"):
        ten_fold(np.ones(20), np.ones(19, bool))
