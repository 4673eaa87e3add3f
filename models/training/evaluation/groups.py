"""Error rates by group, and among relatives: where one threshold treats people differently.

Pairs within a group share people, so the intervals, which take pairs for independent, are too
narrow: read them as the least uncertainty.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.training.errors import TrainingDataError
from models.training.evaluation.figures import BLOCK, Floats, Rate, at_least, cosines, pair_scores


@dataclass(frozen=True, kw_only=True)
class GroupFigures:
    """FMR and FNMR within one group at one threshold; None where the group has no such pair."""

    group: str
    people: int
    pictures: int
    fmr: Rate | None
    fnmr: Rate | None

    def described(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "group": self.group,
            "people": self.people,
            "pictures": self.pictures,
            "fmr": self.fmr.described() if self.fmr else None,
            "fnmr": self.fnmr.described() if self.fnmr else None,
        }


@dataclass(frozen=True, kw_only=True)
class Relatives:
    """FMR among relatives (other persons of one family) and among everybody else."""

    threshold: float
    related: Rate
    unrelated: Rate

    def described(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "threshold": self.threshold,
            "fmr_of_relatives": self.related.described(),
            "fmr_of_others": self.unrelated.described(),
        }


def read_groups(path: Path) -> dict[str, str]:
    """Group by picture from a CSV with columns ``image`` and ``group``.

    Raises TrainingDataError where a column is missing or a picture is in two groups.
    """
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if not {"image", "group"} <= set(reader.fieldnames or ()):
            raise TrainingDataError(f"{path} needs the columns image and group.")
        rows = [(row["image"], row["group"]) for row in reader]
    groups: dict[str, str] = {}
    for image, group in rows:
        if groups.setdefault(image, group) != group:
            raise TrainingDataError(f"{path} puts {image} into two groups.")
    return groups


def by_group(
    *,
    embeddings: Floats,
    labels: NDArray[np.int64],
    groups: Sequence[str | None],
    threshold: float,
) -> tuple[GroupFigures, ...]:
    """FMR and FNMR over all pairs within each group, by name, at one threshold.

    ``embeddings`` [n, D] L2-normalised or NaN (never a match), ``labels`` [n] the persons,
    ``groups`` the group of each picture, None for those that have none.
    """
    names = np.array([group or "" for group in groups])
    return tuple(
        _figures(name, embeddings[names == name], labels[names == name], threshold)
        for name in sorted(set(names.tolist()) - {""})
    )


def relatives(
    *,
    embeddings: Floats,
    labels: NDArray[np.int64],
    families: Sequence[str],
    threshold: float,
) -> Relatives:
    """FMR of pairs of different persons, split by whether both are of one family.

    Raises ValueError where either kind of pair is missing.
    """
    _, family = np.unique(np.array(families), return_inverse=True)
    hits = {True: 0, False: 0}
    totals = {True: 0, False: 0}
    for start in range(0, len(labels), BLOCK):
        block = slice(start, start + BLOCK)
        scores = cosines(embeddings[block], embeddings[start:]).astype(np.float64)
        others = np.triu(labels[block, None] != labels[None, start:], 1)
        related = family[block, None] == family[None, start:]
        for kind, pairs in ((True, others & related), (False, others & ~related)):
            hits[kind] += int(np.count_nonzero(scores[pairs] >= threshold))
            totals[kind] += int(np.count_nonzero(pairs))
    if not all(totals.values()):
        raise ValueError("Both kinds of pairs are needed: of one family, and of different ones.")
    return Relatives(
        threshold=threshold,
        related=Rate(count=hits[True], total=totals[True]),
        unrelated=Rate(count=hits[False], total=totals[False]),
    )


def _figures(
    group: str, embeddings: Floats, labels: NDArray[np.int64], threshold: float
) -> GroupFigures:
    mated, non_mated = pair_scores(embeddings, labels)
    missed = len(mated) - at_least(mated, threshold).count if len(mated) else 0
    return GroupFigures(
        group=group,
        people=len(np.unique(labels)),
        pictures=len(labels),
        fmr=at_least(non_mated, threshold) if len(non_mated) else None,
        fnmr=Rate(count=missed, total=len(mated)) if len(mated) else None,
    )
