"""From the rows that kernels gave to the candidates of float64 brute force.

Every float32 similarity lies within `_error` of the true one, so whether a block may hide a row
that counts can be told from the last row it gave; the few blocks that may are looked through
whole. What is left is scored in float64.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from app.gallery.blocks import Index, View
from app.types import Floats

Hit = tuple[float, bytes, bytes]
"""Similarity (float64), person id, face id."""


@dataclass(frozen=True, slots=True)
class Found:
    """All scans side by side; `owner` int[W] is the view that a column came from."""

    views: Sequence[View]
    scores: Floats
    rows: Index
    hidden: Floats
    owner: Index


def best_of(found: Found, number: int, query: Floats, top: int, floor: float) -> list[Hit]:
    """The answer to one query."""
    scores, rows = found.scores[number], found.rows[number]
    error = _error(len(query))
    order = _descending(scores, 4 * top + 16)
    last = _last_person(found, scores, rows, order, top)
    if last is None and len(order) < len(scores):
        order = _descending(scores, len(scores))
        last = _last_person(found, scores, rows, order, top)
    # The true similarity of that person is at least last - error, so no row whose float32
    # similarity is below last - 2 error can belong to a better one.
    cutoff = floor - error if last is None else max(last - 2 * error, floor - error)
    if len(order) < len(scores) and scores[order[-1]] >= cutoff:
        order = _descending(scores, len(scores))
    kept = order[(scores[order] >= cutoff) & (scores[order] > -np.inf)]
    hidden = found.hidden[number]
    wide = np.flatnonzero((hidden >= cutoff) & (hidden > -np.inf))
    if len(wide):
        kept = kept[~np.isin(found.owner[kept], wide)]
    hits = _scored([(found.views[int(found.owner[at])], int(rows[at])) for at in kept], query)
    for at in wide:
        hits += _look_through(found.views[int(at)], query, cutoff, top)
    return [hit for hit in _by_person(hits)[:top] if hit[0] >= floor]


def _error(dimension: int) -> float:
    """How far a float32 dot product of two vectors of length 1.001 may be from the true one.

    Higham, Accuracy and Stability of Numerical Algorithms, 3.1: n u / (1 - n u) for any order of
    summation; the rest is room for the rounding of what it is compared with.
    """
    return 1.01 * (dimension + 8) * 2.0**-24


def _descending(scores: Floats, count: int) -> Index:
    """Where the `count` highest are, highest first."""
    if count >= len(scores):
        return np.argsort(-scores)
    best = np.argpartition(scores, len(scores) - count)[-count:]
    return best[np.argsort(-scores[best])]


def _last_person(found: Found, scores: Floats, rows: Index, order: Index, top: int) -> float | None:
    """The float32 similarity of the `top`-th distinct person; None if there are fewer."""
    seen = set()
    for at in order:
        score = float(scores[at])
        if score == -np.inf:
            break
        seen.add(found.views[int(found.owner[at])].block.persons[:, rows[at]].tobytes())
        if len(seen) == top:
            return score
    return None


def _look_through(view: View, query: Floats, cutoff: float, top: int) -> list[Hit]:
    """The `top` best persons of one view, among all of its rows of at least `cutoff`."""
    # einsum stays on this thread, where a matrix product of NumPy would wake a pool of its own.
    scores = np.einsum("ij,j->i", view.block.vectors[: view.used], query)
    scores[view.dead] = -np.inf
    rows = np.flatnonzero(scores >= cutoff)
    hits: list[Hit] = []
    for begin in range(0, len(rows), 1024):  # ties can be many, and float64 copies are large
        hits += _scored([(view, int(row)) for row in rows[begin : begin + 1024]], query)
    return _by_person(hits)[:top]


def _scored(places: Sequence[tuple[View, int]], query: Floats) -> list[Hit]:
    """Similarities in float64. Each row is summed by itself in a fixed order, so that equal
    vectors get equal similarities whatever stands beside them; a matrix product promises less."""
    if not places:
        return []
    vectors = np.stack([view.block.vectors[row] for view, row in places]).astype(np.float64)
    vectors *= query
    return [
        (
            similarity,
            view.block.persons[:, row].tobytes(),
            view.block.faces[:, row].tobytes(),
        )
        for similarity, (view, row) in zip(vectors.sum(axis=1).tolist(), places, strict=True)
    ]


def _by_person(hits: Iterable[Hit]) -> list[Hit]:
    """The best hit of each person, best first; ties by person id, then face id."""
    best: dict[bytes, Hit] = {}
    for hit in sorted(hits, key=lambda hit: (-hit[0], hit[1], hit[2])):
        best.setdefault(hit[1], hit)
    return list(best.values())
