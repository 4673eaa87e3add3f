"""Error rates with their counts and intervals, and the thresholds that they belong to."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float32] | NDArray[np.float64]

NO_FACE: Final = -2.0  # below every cosine: what has no face never matches
PRECISE: Final = 30  # rule of 30: with so many errors a rate is known to 30 % at 90 % confidence
BLOCK: Final = 1024  # rows whose similarities are held at once


class RateUnsupported(ValueError):
    """There are too few non-mated scores for the error rate that was asked for."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """``count`` of ``total`` (more than 0), with its 95 % Clopper-Pearson interval."""

    count: int
    total: int

    @property
    def rate(self) -> float:
        return self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        return clopper_pearson(self.count, self.total)

    def described(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "rate": significant(self.rate),
            "count": self.count,
            "of": self.total,
            "interval_95": [significant(bound) for bound in self.interval],
        }

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.rate:.4f} ({self.count:,} of {self.total:,}; {low:.4f} to {high:.4f})"


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """What is accepted at the threshold of a wanted FAR.

    ``accepted``: mated comparisons at or above ``threshold``, so its rate is the TAR. ``false``:
    non-mated ones there, at most ``allowed`` of them.
    """

    far: float
    threshold: float
    allowed: int
    accepted: Rate
    false: Rate

    @property
    def rate(self) -> float:
        return self.accepted.rate

    @property
    def imprecise(self) -> bool:
        """Whether so few false matches were allowed that the threshold is hardly known."""
        return self.allowed < PRECISE

    def described(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "far": self.far,
            "threshold": rounded_up(self.threshold, 6),
            "imprecise": self.imprecise,
            "tar": self.accepted.described(),
            "false_matches": self.false.described(),
        }

    def __str__(self) -> str:
        mark = ", imprecise" if self.imprecise else ""
        return f"TAR {self.accepted} at FAR {self.far:g} ({self.false.count} false{mark})"


def clopper_pearson(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact binomial interval by Beta quantiles (Clopper and Pearson, 1934)."""
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else float(stats.beta.ppf(tail, count, total - count + 1))
    high = 1.0 if count == total else float(stats.beta.ppf(1 - tail, count + 1, total - count))
    return low, high


def allowed(share: float, total: int) -> int:
    """How many of ``total`` a share allows, rounded down. ``share`` is taken as it is written.

    In binary 0.29 * 100 is 28.999999999999996 and 1 / 54 a little less than a 54th: one false match
    would be lost.
    """
    return math.floor(Fraction(str(float(share))).limit_denominator(10**9) * total)


def supported(shares: Iterable[float], total: int) -> tuple[float, ...]:
    """Those of the error rates at which at least one of ``total`` may be wrong."""
    return tuple(share for share in shares if allowed(share, total) >= 1)


def threshold_at(non_mated: Floats, share: float) -> float:
    """The least value that at most ``share`` of the scores reach, rounded down to whole scores.

    It lies just above the (k+1)-th highest of them: ties never let a false match more through.
    Raises RateUnsupported where not even one score may reach it.
    """
    scores = np.asarray(non_mated, np.float64)
    most = allowed(share, len(scores))
    if most < 1:
        least = f"{1 / len(scores):.2g} and above" if len(scores) else "none"
        raise RateUnsupported(
            f"An error rate of {share:g} cannot be measured on {len(scores):,} non-mated scores: "
            f"less than one of them may be wrong. They support rates of {least}."
        )
    if most >= len(scores):
        return float(scores.min())
    edge = np.partition(scores, len(scores) - most - 1)[len(scores) - most - 1]
    return float(np.nextafter(edge, np.inf))


def at_least(scores: Floats, threshold: float) -> Rate:
    """The scores [n] that reach ``threshold``. Raises ValueError where there are none at all."""
    if not len(scores):
        raise ValueError("There are no scores to count: the data has no pairs of this kind.")
    hits = int(np.count_nonzero(np.asarray(scores, np.float64) >= threshold))
    return Rate(count=hits, total=len(scores))


def tar_at_far(mated: Floats, non_mated: Floats, far: float) -> OperatingPoint:
    """Share of mated scores at or above the threshold that at most ``far`` of the others reach.

    Raises RateUnsupported, as ``threshold_at`` does, and ValueError without mated scores.
    """
    threshold = threshold_at(non_mated, far)
    return OperatingPoint(
        far=far,
        threshold=threshold,
        allowed=allowed(far, len(non_mated)),
        accepted=at_least(mated, threshold),
        false=at_least(non_mated, threshold),
    )


def pair_scores(
    embeddings: Floats, labels: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mated and non-mated cosines over all pairs of L2-normalised rows [n, D], labels [n].

    A pair with a row of NaN scores NO_FACE. Both come in the order of the pairs (0, 1), (0, 2) …
    """
    mated, non_mated = [np.empty(0, np.float32)], [np.empty(0, np.float32)]
    for start in range(0, len(labels), BLOCK):
        block = slice(start, start + BLOCK)
        scores = cosines(embeddings[block], embeddings[start:])
        later = np.triu(np.ones(scores.shape, bool), 1)
        same = labels[block, None] == labels[None, start:]
        mated.append(scores[later & same])
        non_mated.append(scores[later & ~same])
    return np.concatenate(mated), np.concatenate(non_mated)


def cosines(first: Floats, second: Floats) -> NDArray[np.float32]:
    """Every row of ``first`` [n, D] with every row of ``second`` [m, D], NO_FACE for NaN."""
    scores = np.asarray(first @ second.T, np.float32)
    scores[np.isnan(scores)] = NO_FACE
    return scores


def paired_cosines(first: Floats, second: Floats) -> NDArray[np.float64]:
    """Row i of ``first`` with row i of ``second``, both [n, D]: [n], NO_FACE for NaN."""
    scores = np.asarray(np.einsum("nd,nd->n", first, second, dtype=np.float64))
    scores[np.isnan(scores)] = NO_FACE
    return scores


def rounded_up(value: float, decimals: int = 4) -> float:
    """A threshold for print: never below ``value``, so that no error rate rises."""
    scale = 10.0**decimals
    return math.ceil(value * scale) / scale


def significant(value: float, digits: int = 5) -> float:
    """A rate for print: small ones keep their digits."""
    return float(f"{value:.{digits}g}")
