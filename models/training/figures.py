"""Error rates with their counts and intervals."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Rate:
    """``count`` of ``total``, at a threshold, with its 95 % Clopper-Pearson interval."""

    count: int
    total: int
    threshold: float

    @property
    def rate(self) -> float:
        return self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        return clopper_pearson(self.count, self.total)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.rate:.4f} ({self.count} of {self.total}; {low:.4f} to {high:.4f})"


def clopper_pearson(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact binomial interval by Beta quantiles (Clopper and Pearson, 1934)."""
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else float(stats.beta.ppf(tail, count, total - count + 1))
    high = 1.0 if count == total else float(stats.beta.ppf(1 - tail, count + 1, total - count))
    return low, high


def threshold_at(non_mated: Floats, share: float) -> float:
    """The least value that at most ``floor(share * n)`` of the scores reach.

    It lies just above the (k+1)-th highest score: ties never let a false match more through.
    """
    scores = np.asarray(non_mated, np.float64)
    allowed = int(np.floor(share * len(scores)))
    if allowed >= len(scores):
        return float(scores.min())
    edge = np.partition(scores, len(scores) - allowed - 1)[len(scores) - allowed - 1]
    return float(np.nextafter(edge, np.inf))


def tar_at_far(mated: Floats, non_mated: Floats, far: float) -> Rate:
    """Share of mated scores at or above the threshold that ``far`` of the non-mated reach."""
    threshold = threshold_at(non_mated, far)
    count = int(np.count_nonzero(np.asarray(mated, np.float64) >= threshold))
    return Rate(count=count, total=len(mated), threshold=threshold)


def pair_scores(
    embeddings: Floats, labels: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mated and non-mated cosines over all pairs of L2-normalised rows [n, D], labels [n]."""
    scores = np.asarray(embeddings @ embeddings.T, np.float32)
    rows, columns = np.triu_indices(len(labels), 1)
    mated = labels[rows] == labels[columns]
    values = scores[rows, columns]
    return values[mated], values[~mated]
