"""MegaFace's protocol (Kemelmacher-Shlizerman et al., 2016): one mate among many distractors.

Identification: each ordered pair of pictures of a person is a search, the first the probe, the
second its only mate in a gallery with N distractors. Verification: the same pairs against every
probe with every distractor. They are taken in blocks: a million may lie in a ``np.memmap``.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.training.errors import TrainingDataError
from models.training.evaluation.figures import (
    BLOCK,
    NO_FACE,
    Floats,
    OperatingPoint,
    Rate,
    allowed,
    at_least,
    cosines,
    supported,
)

HEADER: Final = struct.Struct("<4i")  # rows, columns, bytes a number, OpenCV's CV_32F
SIZES: Final = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
FARS: Final = (1e-3, 1e-4, 1e-5, 1e-6)


@dataclass(frozen=True, kw_only=True)
class Distracted:
    """Rank-1 against the first N distractors, and VR at FAR against all of them."""

    rank_1: dict[int, Rate]
    points: tuple[OperatingPoint, ...]

    def described(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "rank_1_by_distractors": {
                str(size): rate.described() for size, rate in self.rank_1.items()
            },
            "vr_at_far": [point.described() for point in self.points],
        }


def write_features(path: Path, embedding: Floats) -> None:
    """One embedding [D] as the development kit reads it: a header, then float32."""
    row = np.asarray(embedding, "<f4").reshape(-1)
    path.write_bytes(HEADER.pack(len(row), 1, 4, 5) + row.tobytes())


def read_features(path: Path) -> NDArray[np.float32]:
    """The embedding float32 [D] of such a file. Raises TrainingDataError for anything else."""
    content = path.read_bytes()
    rows, *kind = HEADER.unpack(content[: HEADER.size]) if len(content) >= HEADER.size else (0,)
    if kind != [1, 4, 5] or len(content) != HEADER.size + 4 * rows:
        raise TrainingDataError(
            f"{path} is no feature file: it has to begin with its length, 1, 4 and 5, and to hold "
            "so many float32."
        )
    return np.frombuffer(content, "<f4", offset=HEADER.size).astype(np.float32)


def among_distractors(
    *,
    probes: Floats,
    labels: NDArray[np.int64],
    distractors: Floats,
    sizes: Sequence[int] = SIZES,
    fars: Sequence[float] = FARS,
) -> Distracted:
    """Rank-1 and VR of probes [P, D] of persons ``labels`` [P] among distractors [N, D].

    A mate comes first only if no distractor is as similar. Sizes beyond the number of distractors
    become that number; FARs that the comparisons cannot support are left out. All rows are
    L2-normalised or NaN; a mated pair with NaN is a miss.

    Raises ValueError where nobody has two pictures, or there is no distractor.
    """
    total = len(distractors)
    if not total:
        raise ValueError("There are no distractors to search among.")
    sizes = sorted({min(size, total) for size in sizes})
    wanted = supported(fars, total * len(probes))
    kept = max((allowed(far, total * len(probes)) for far in wanted), default=0) + 1
    best = np.full(len(probes), NO_FACE, np.float32)
    highest = np.empty(0, np.float32)
    best_of: dict[int, NDArray[np.float32]] = {}
    for done in range(0, total, BLOCK):
        scores = cosines(probes, distractors[done : done + BLOCK])
        for size in sizes:
            if done < size <= done + scores.shape[1]:
                best_of[size] = np.maximum(best, scores[:, : size - done].max(axis=1))
        best = np.maximum(best, scores.max(axis=1))
        highest = _highest(np.concatenate([highest, scores.ravel()]), kept)
    first, second = _ordered_pairs(labels)
    mated = np.concatenate(
        [np.empty(0, np.float32)]
        + [cosines(probes[[i]], probes[second[first == i]])[0] for i in np.unique(first)]
    )
    if not len(mated):
        raise ValueError("Nobody has two pictures: there is no mate to find.")
    return Distracted(
        rank_1={
            size: Rate(count=int(np.count_nonzero(mated > best_of[size][first])), total=len(mated))
            for size in sizes
        },
        points=tuple(
            _point(far, mated=mated, highest=highest, total=total * len(probes)) for far in wanted
        ),
    )


def _point(far: float, *, mated: Floats, highest: Floats, total: int) -> OperatingPoint:
    """VR at the threshold just above the (k+1)-th highest of ``total`` non-mated scores."""
    most = allowed(far, total)
    threshold = float(np.nextafter(np.float64(highest[most]), np.inf))
    return OperatingPoint(
        far=far,
        threshold=threshold,
        allowed=most,
        accepted=at_least(mated, threshold),
        false=Rate(count=at_least(highest, threshold).count, total=total),
    )


def _highest(scores: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The ``count`` highest, descending."""
    if len(scores) > count:
        scores = np.partition(scores, len(scores) - count)[len(scores) - count :]
    return -np.sort(-scores)


def _ordered_pairs(labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every (i, j), i before j and after, of two pictures of one person."""
    order = np.argsort(labels, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    pairs = [(i, j) for group in groups for i in group.tolist() for j in group.tolist() if i != j]
    table = np.array(sorted(pairs), np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]
