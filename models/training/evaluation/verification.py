"""Verification by pair lists: ten-fold accuracy as LFW's View 2 publishes it, and TAR at FAR.

The protocol is the same for LFW's ``pairs.txt`` and for any ``.bin`` set: pairs in file order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.training.evaluation.figures import (
    NO_FACE,
    Floats,
    OperatingPoint,
    Rate,
    supported,
    tar_at_far,
)

FOLDS: Final = 10
FARS: Final = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
DISTANCES: Final = np.arange(0, 4, 0.01)  # squared, of unit vectors


@dataclass(frozen=True, kw_only=True)
class FoldedAccuracy:
    """Accuracy of each fold at the threshold (a cosine) that is best on all the others."""

    accuracies: tuple[float, ...]
    thresholds: tuple[float, ...]

    @property
    def accuracy(self) -> float:
        return float(np.mean(self.accuracies))

    @property
    def standard_error(self) -> float:
        """Of the mean over the folds: their deviation (n - 1) over the root of their number."""
        return float(np.std(self.accuracies, ddof=1) / np.sqrt(len(self.accuracies)))


@dataclass(frozen=True, kw_only=True)
class Verification:
    """All that is measured on one list of pairs. ``refused``: FARs that it cannot support."""

    folded: FoldedAccuracy
    correct: Rate
    without_a_face: int
    points: tuple[OperatingPoint, ...]
    refused: tuple[float, ...]

    def described(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "accuracy": round(self.folded.accuracy, 5),
            "accuracy_standard_error": round(self.folded.standard_error, 5),
            "correct": self.correct.described(),
            "folds": [round(accuracy, 5) for accuracy in self.folded.accuracies],
            "fold_thresholds": [round(threshold, 4) for threshold in self.folded.thresholds],
            "pairs_without_a_face": self.without_a_face,
            "tar_at_far": [point.described() for point in self.points],
            "unsupported_fars": list(self.refused),
        }


def ten_fold(scores: Floats, mated: NDArray[np.bool_], folds: int = FOLDS) -> FoldedAccuracy:
    """Ten-fold accuracy of cosines [n] of pairs in file order; ``mated`` [n] is the truth.

    Folds are consecutive stretches of the list, the first ones longer by one where it does not
    divide. A pair is accepted where its squared distance 2 - 2 cos is below t = 0, 0.01 … 3.99;
    of the thresholds that are best on the other folds the first counts. Pairs without a score
    (NO_FACE) are wrong at any threshold. (Huang et al., 2007; steps as InsightFace evaluates.)

    Raises ValueError where there are fewer pairs than folds, or not one truth a score.
    """
    if len(scores) != len(mated) or len(scores) < folds:
        raise ValueError(
            f"{folds} folds need as many pairs at least, and one truth each: got {len(scores)} "
            f"scores and {len(mated)} truths."
        )
    values = np.asarray(scores, np.float64)
    accepted = (2 - 2 * values)[None] < DISTANCES[:, None]
    right = (accepted == mated[None]) & (values != NO_FACE)[None]
    parts = np.array_split(right, folds, axis=1)
    counts = np.stack([part.sum(axis=1) for part in parts])
    best = np.argmax(counts.sum(axis=0) - counts, axis=1)
    return FoldedAccuracy(
        accuracies=tuple(
            float(count[index] / part.shape[1])
            for count, index, part in zip(counts, best, parts, strict=True)
        ),
        thresholds=tuple(float(1 - DISTANCES[index] / 2) for index in best),
    )


def verify(scores: Floats, mated: NDArray[np.bool_], fars: Sequence[float] = FARS) -> Verification:
    """Every figure of pairs in file order: cosines [n], NO_FACE without a face, and the truth [n].

    FARs that the non-mated pairs do not support are named, not measured.
    """
    folded = ten_fold(scores, mated)
    sizes = [len(part) for part in np.array_split(mated, FOLDS)]
    correct = sum(
        round(accuracy * size) for accuracy, size in zip(folded.accuracies, sizes, strict=True)
    )
    true, false = scores[mated], scores[~mated]
    measured = supported(fars, len(false))
    return Verification(
        folded=folded,
        correct=Rate(count=correct, total=len(scores)),
        without_a_face=int(np.count_nonzero(scores == NO_FACE)),
        points=tuple(tar_at_far(true, false, far) for far in measured),
        refused=tuple(far for far in fars if far not in measured),
    )
