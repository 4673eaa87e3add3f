"""Open-set identification: who is in the gallery, and who is nobody there (ISO/IEC 19795-1).

FPIR(N, T): share of non-mated searches that find anybody at or above T. FNIR(N, R, T): share of
mated searches whose mate is below T or not among the first R. CMC: mates within rank r at any T.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.training.evaluation.figures import (
    BLOCK,
    NO_FACE,
    PRECISE,
    Floats,
    Rate,
    allowed,
    at_least,
    cosines,
    rounded_up,
    supported,
    threshold_at,
)

RANKS: Final = 20
FPIRS: Final = (0.1, 0.01, 0.001)
MISSED: Final = 2**31 - 1  # the rank of a mate that has no score


@dataclass(frozen=True, kw_only=True)
class Searches:
    """What came of every search of one gallery of ``people`` persons.

    ``mates`` [P]: similarity of each mated probe's person. ``ranks`` int64 [P]: that person's
    place, after everybody who is as similar. ``strangers`` [S]: the best that each non-mated
    probe found.
    """

    people: int
    mates: NDArray[np.float32]
    ranks: NDArray[np.int64]
    strangers: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class SearchPoint:
    """The misses at the threshold of a wanted FPIR: mate first, and mate at any rank."""

    target: float
    threshold: float
    imprecise: bool
    fpir: Rate
    fnir: Rate
    fnir_any_rank: Rate

    def described(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "target_fpir": self.target,
            "threshold": rounded_up(self.threshold, 6),
            "imprecise": self.imprecise,
            "fpir": self.fpir.described(),
            "fnir": self.fnir.described(),
            "fnir_any_rank": self.fnir_any_rank.described(),
        }


def search(
    *,
    gallery: Floats,
    people: NDArray[np.int64],
    probes: Floats,
    mates: NDArray[np.int64],
    strangers: Floats,
) -> Searches:
    """Search a gallery [G, D] of persons ``people`` [G] for every probe and every stranger.

    ``probes`` [P, D] show persons ``mates`` [P], ``strangers`` [S, D] nobody of the gallery. A
    person's similarity is that of the best template. All rows are L2-normalised or NaN.

    Raises ValueError where a mated probe's person has no row in the gallery: an enrolment that
    failed is a row of NaN.
    """
    persons = np.unique(people)
    if not len(persons):
        raise ValueError("The gallery is empty: there is nobody to search for.")
    if unknown := int(np.count_nonzero(~np.isin(mates, persons))):
        raise ValueError(
            f"{unknown} of {len(mates)} mated probes show persons who are not in the gallery: "
            "they are non-mated searches, or their enrolment is missing."
        )
    column = np.searchsorted(persons, mates)
    order = np.argsort(people, kind="stable")
    starts = np.searchsorted(people[order], persons)
    templates = gallery[order]

    def by_person(rows: Floats) -> NDArray[np.float32]:
        return np.maximum.reduceat(cosines(rows, templates), starts, axis=1)

    similarity = np.empty(len(probes), np.float32)
    ranks = np.empty(len(probes), np.int64)
    for start in range(0, len(probes), BLOCK):
        block = slice(start, start + BLOCK)
        scores = by_person(probes[block])
        mate = scores[np.arange(len(scores)), column[block]]
        similarity[block] = mate
        ranks[block] = np.where(
            mate == NO_FACE, MISSED, np.count_nonzero(scores >= mate[:, None], axis=1)
        )
    best = [
        by_person(strangers[start : start + BLOCK]).max(axis=1)
        for start in range(0, len(strangers), BLOCK)
    ]
    return Searches(
        people=len(persons),
        mates=similarity,
        ranks=ranks,
        strangers=np.concatenate([np.empty(0, np.float32), *best]),
    )


def found(searches: Searches, *, rank: int, threshold: float) -> Rate:
    """Mated searches whose mate is among the first ``rank`` and reaches ``threshold``."""
    hit = (searches.ranks <= rank) & (np.asarray(searches.mates, np.float64) >= threshold)
    return Rate(count=int(np.count_nonzero(hit)), total=len(hit))


def fnir(searches: Searches, *, rank: int, threshold: float) -> Rate:
    """FNIR(N, R, T): the others."""
    hits = found(searches, rank=rank, threshold=threshold)
    return Rate(count=hits.total - hits.count, total=hits.total)


def fnir_at_fpir(searches: Searches, fpir: float) -> SearchPoint:
    """Misses at the threshold that at most ``fpir`` of the strangers reach.

    Raises RateUnsupported where that would be less than one stranger.
    """
    threshold = threshold_at(searches.strangers, fpir)
    return SearchPoint(
        target=fpir,
        threshold=threshold,
        imprecise=allowed(fpir, len(searches.strangers)) < PRECISE,
        fpir=at_least(searches.strangers, threshold),
        fnir=fnir(searches, rank=1, threshold=threshold),
        fnir_any_rank=fnir(searches, rank=searches.people, threshold=threshold),
    )


def cmc(searches: Searches, ranks: int = RANKS) -> tuple[Rate, ...]:
    """Mates within rank 1, 2 … ``ranks``, whatever their similarity."""
    return tuple(found(searches, rank=r, threshold=NO_FACE) for r in range(1, ranks + 1))


def first_scores(searches: Searches) -> NDArray[np.float32]:
    """Similarity of each mate that came first, NO_FACE of the others: [P]."""
    return np.where(searches.ranks == 1, searches.mates, np.float32(NO_FACE))


def described(searches: Searches, fpirs: Sequence[float] = FPIRS) -> dict[str, Any]:
    """Every figure of an open-set search, for JSON; FPIRs without support are named."""
    measured = supported(fpirs, len(searches.strangers))
    ranks = cmc(searches)
    return {
        "people_enrolled": searches.people,
        "mated_searches": len(searches.mates),
        "non_mated_searches": len(searches.strangers),
        "mates_without_a_score": int(np.count_nonzero(searches.ranks == MISSED)),
        "rank_1": ranks[0].described(),
        "cmc": {str(r): ranks[r - 1].described() for r in (1, 5, 10, RANKS)},
        "fnir_at_fpir": [fnir_at_fpir(searches, fpir).described() for fpir in measured],
        "unsupported_fpirs": [fpir for fpir in fpirs if fpir not in measured],
    }
