"""Trade-off curves and score histograms, few enough points for JSON and a plot."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from models.training.evaluation.figures import NO_FACE, Floats

POINTS: Final = 400
BINS: Final = 100


@dataclass(frozen=True, kw_only=True)
class TradeOff:
    """The rate of misses (FNMR or FNIR) at each false rate (FMR or FPIR), which ascends."""

    false: tuple[float, ...]
    missed: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Counts of scores between ``edges``, one edge more than counts. Without NO_FACE."""

    edges: tuple[float, ...]
    mated: tuple[int, ...]
    non_mated: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Curves:
    """What is drawn of one measurement; ``cmc[r - 1]`` is the share of mates within rank r."""

    trade_off: TradeOff
    histogram: Histogram | None = None
    cmc: tuple[float, ...] | None = None


def trade_off(hits: Floats, non_mated: Floats, points: int = POINTS) -> TradeOff:
    """Misses against false accepts over all thresholds, spaced evenly in the logarithm.

    ``hits`` [n]: scores of what should be found, NO_FACE where it cannot be. ``non_mated`` [m].
    """
    accepted = np.sort(np.asarray(hits, np.float64))
    wrong = np.sort(np.asarray(non_mated, np.float64))
    count = len(wrong)
    allowed = np.unique(np.geomspace(1, count, points).astype(np.int64))
    edges = np.nextafter(wrong[count - 1 - np.append(0, allowed[allowed < count])], np.inf)
    # The end where everything is accepted that has a face.
    edges = np.append(edges, max(wrong[0], np.nextafter(NO_FACE, 0)))
    false = (count - np.searchsorted(wrong, edges)) / count
    missed = np.searchsorted(accepted, edges) / len(accepted)
    return TradeOff(false=tuple(false.tolist()), missed=tuple(missed.tolist()))


def histogram(mated: Floats, non_mated: Floats, bins: int = BINS) -> Histogram:
    """Counts of both kinds over one grid."""
    both = (np.asarray(mated, np.float64), np.asarray(non_mated, np.float64))
    faces = [scores[scores > NO_FACE] for scores in both]
    every = np.concatenate(faces)
    low, high = (float(every.min()), float(every.max())) if len(every) else (0.0, 1.0)
    edges = np.histogram_bin_edges(np.empty(0), bins, (low, max(high, low + 1e-6)))
    first, second = (np.histogram(each, edges)[0] for each in faces)
    return Histogram(
        edges=tuple(edges.tolist()), mated=tuple(first.tolist()), non_mated=tuple(second.tolist())
    )
