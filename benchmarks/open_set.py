"""Open-set figures (ISO/IEC 19795-1) from the raw answers of a run. Pure functions, no I/O.

A *mated* search is for somebody who should be in the gallery, a *non-mated* one for a stranger.
Similarities have four decimals, as the service gives them, so thresholds lie on that grid.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

GRID: Final = 1e-4
"""The step between two similarities that the service can tell apart in an answer."""

FEWEST: Final = 10
"""A rate is measured only where at least so many searches may go wrong at it."""

PRECISE: Final = 30
"""The rule of 30: with fewer errors than this a rate is known to worse than 30 %."""

_Z95: Final = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `total`, as a rate with its interval."""

    count: int
    total: int

    @property
    def rate(self) -> float:
        return self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.count, self.total)


@dataclass(frozen=True, slots=True)
class Search:
    """One probe and what came back: persons with similarities, best first.

    `mate` is None for a stranger. `failure` is the code of an image that was refused; such a
    search has found nobody.
    """

    mate: str | None
    found: tuple[tuple[str, float], ...] = ()
    failure: str | None = None

    @property
    def best(self) -> float:
        """The highest similarity offered; minus infinity where there was none."""
        return self.found[0][1] if self.found else -math.inf

    def mate_at(self) -> tuple[int, float] | None:
        """Rank (from 1) and similarity of the mate; None where it is not among the candidates."""
        for rank, (person, similarity) in enumerate(self.found, 1):
            if person == self.mate:
                return rank, similarity
        return None


def wilson(count: int, total: int, z: float = _Z95) -> tuple[float, float]:
    """The 95 % score interval of `count` successes in `total` trials (Wilson, 1927).

    Raises ValueError unless 0 <= count <= total and total > 0.
    """
    if total < 1 or not 0 <= count <= total:
        raise ValueError(f"there is no rate of {count} in {total}")
    share = count / total
    centre = share + z * z / (2 * total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    low = 0.0 if count == 0 else (centre - spread) / scale
    high = 1.0 if count == total else (centre + spread) / scale
    return low, high


def match_within(searches: Sequence[Search], rank: int) -> Share:
    """Mated searches with the mate among the first `rank` candidates: one point of the CMC."""
    places = [search.mate_at() for search in searches]
    return Share(sum(place is not None and place[0] <= rank for place in places), len(searches))


def false_positives(searches: Sequence[Search], threshold: float) -> Share:
    """FPIR: non-mated searches that were offered anybody at or above `threshold`."""
    return Share(sum(search.best >= threshold for search in searches), len(searches))


def false_negatives(searches: Sequence[Search], threshold: float, rank: int) -> Share:
    """FNIR(N, R, T): mated searches whose mate is below `threshold` or not in the first `rank`."""
    hits = 0
    for search in searches:
        place = search.mate_at()
        hits += place is not None and place[0] <= rank and place[1] >= threshold
    return Share(len(searches) - hits, len(searches))


def allowed(searches: int, fpir: float) -> int:
    """How many of so many non-mated searches may find somebody at this FPIR, rounded down."""
    return math.floor(searches * fpir + 1e-9)  # 0.29 * 100 is 28.999999999999996


def threshold_at(searches: Sequence[Search], fpir: float) -> float:
    """The least threshold of the grid that at most this share of non-mated searches reaches.

    With k allowed, it lies just above the (k + 1)-th highest of their best similarities, so that
    ties never let more than k through. Raises ValueError where the count does not support `fpir`.
    """
    most = allowed(len(searches), fpir)
    if most < FEWEST:
        raise ValueError(f"{len(searches)} non-mated searches do not support FPIR {fpir:g}")
    ranked = sorted((search.best for search in searches), reverse=True)
    barrier = ranked[most] if most < len(ranked) else -math.inf
    return -1.0 if barrier == -math.inf else round(barrier + GRID, 4)


def needed(fpir: float) -> int:
    """How many non-mated searches support this FPIR."""
    return math.ceil(FEWEST / fpir - 1e-9)
