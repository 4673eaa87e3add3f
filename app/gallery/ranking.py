"""From the rows that kernels gave to the candidates of float64 brute force.

Every similarity that was scanned lies within `_error` of the true one, so whether a block may
hide a row that counts can be told from the last row it gave; the few blocks that may are looked
through whole. What is left is scored in float64.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.gallery.blocks import Index, View
from app.types import Floats

Hit = tuple[float, bytes, bytes]
"""Similarity (float64), person id, face id."""

Place = tuple[View, int]
"""A row of a block."""


@dataclass(frozen=True, slots=True)
class Found:
    """All scans side by side; `owner` int[W] is the view that a column came from."""

    views: Sequence[View]
    scores: Floats
    rows: Index
    hidden: Floats
    owner: Index


def best(found: Found, queries: Floats, top: int, floor: float) -> list[list[Hit]]:
    """The `top` best persons of at least `floor` for each query float32[Q, D], best first."""
    columns = found.scores.shape[1]
    error = _error(found.views)
    orders = _descending(found.scores, min(columns, 4 * top + 16))
    lists: list[list[Place]] = []
    cutoffs = np.empty(len(queries))
    for number, order in enumerate(orders):
        places, cutoff = _shortlist(found, number, order, top, floor, error)
        if len(places) == len(order) < columns:  # there may be more of them
            whole = _descending(found.scores[number : number + 1], columns)[0]
            places, cutoff = _shortlist(found, number, whole, top, floor, error)
        lists.append(places)
        cutoffs[number] = cutoff
    hidden = (found.hidden >= cutoffs[:, None]) & (found.hidden > -np.inf)
    looked: list[list[Hit]] = [[] for _ in queries]
    for number, at in np.argwhere(hidden).tolist():
        view = found.views[at]
        lists[number] = [place for place in lists[number] if place[0] is not view]
        looked[number] += _look_through(view, queries[number], float(cutoffs[number]), top)
    return [
        [hit for hit in _by_person(hits + more)[:top] if hit[0] >= floor]
        for hits, more in zip(scored(lists, queries), looked, strict=True)
    ]


def merged(some: Sequence[list[Hit]], others: Sequence[list[Hit]], top: int) -> list[list[Hit]]:
    """The `top` best persons of both, for each query."""
    return [_by_person(a + b)[:top] for a, b in zip(some, others, strict=True)]


def _error(views: Sequence[View]) -> float:
    """How far a dot product of two vectors of length 1.001, as scanned, may be from the true one.

    Of float32 sums: Higham, Accuracy and Stability of Numerical Algorithms, 3.1: n u / (1 - n u)
    for any order of summation; the rest is room for the rounding of what it is compared with. Of
    what is stored: Cauchy-Schwarz.
    """
    stored = max(view.block.stored.error for view in views)
    return 1.01 * (views[0].block.dimension + 8) * 2.0**-24 + stored


def _descending(scores: Floats, count: int) -> Index:
    """Of each row of float32[Q, W], where the `count` highest are, highest first."""
    if count >= scores.shape[1]:
        return np.argsort(-scores, axis=1)
    some = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    order = np.argsort(-np.take_along_axis(scores, some, axis=1), axis=1)
    return np.take_along_axis(some, order, axis=1)


def _shortlist(
    found: Found, number: int, order: Index, top: int, floor: float, error: float
) -> tuple[list[Place], float]:
    """Every row in `order` that may belong to the answer, and the score that took to be one.

    The true similarity of the `top`-th distinct person is at least its score less the error, so
    no row that scores less by twice the error can belong to a better one.
    """
    cutoff = floor - error
    places: list[Place] = []
    seen: set[bytes] = set()
    scores = found.scores[number, order].tolist()
    rows = found.rows[number, order].tolist()
    for score, row, owner in zip(scores, rows, found.owner[order].tolist(), strict=True):
        if score < cutoff or score == -np.inf:
            break
        view = found.views[owner]
        places.append((view, row))
        if len(seen) < top:
            seen.add(view.block.persons[:, row].tobytes())
            if len(seen) == top:
                cutoff = max(cutoff, score - 2 * error)
    return places, cutoff


def _look_through(view: View, query: Floats, cutoff: float, top: int) -> list[Hit]:
    """The `top` best persons of one view, among all of its rows of at least `cutoff`."""
    # einsum stays on this thread, where a matrix product of NumPy would wake a pool of its own.
    scores = np.einsum("ij,j->i", view.block.stored.take(slice(view.used)), query)
    counts = scores >= cutoff
    counts[view.dead] = False
    rows = np.flatnonzero(counts)
    hits: list[Hit] = []
    for begin in range(0, len(rows), 1024):  # ties can be many, and float64 copies are large
        places = [(view, int(row)) for row in rows[begin : begin + 1024]]
        hits += scored([places], query[None])[0]
    return _by_person(hits)[:top]


def scored(lists: Sequence[Sequence[Place]], queries: Floats) -> list[list[Hit]]:
    """The places of each query with their similarities in float64.

    Each row is summed by itself in a fixed order, so that equal vectors get equal similarities
    whatever stands beside them; a matrix product promises less.
    """
    answers: list[list[Hit]] = []
    for places, query in zip(lists, queries, strict=True):
        if not places:
            answers.append([])
            continue
        vectors = _enrolled(places)
        vectors *= query
        answers.append(
            [
                (
                    similarity,
                    view.block.persons[:, row].tobytes(),
                    view.block.faces[:, row].tobytes(),
                )
                for similarity, (view, row) in zip(
                    np.add.reduce(vectors, axis=1).tolist(), places, strict=True
                )
            ]
        )
    return answers


def _enrolled(places: Sequence[Place]) -> NDArray[np.float64]:
    """The rows of all places, float64[N, D]; what lies in one block is taken at once."""
    of: dict[View, list[int]] = {}
    for number, (view, _) in enumerate(places):
        of.setdefault(view, []).append(number)
    vectors = np.empty((len(places), places[0][0].block.dimension))
    for view, numbers in of.items():
        rows = np.array([places[number][1] for number in numbers], dtype=np.intp)
        vectors[numbers] = view.block.stored.take(rows)
    return vectors


def _by_person(hits: Iterable[Hit]) -> list[Hit]:
    """The best hit of each person, best first; ties by person id, then face id."""
    best: dict[bytes, Hit] = {}
    for hit in sorted(hits, key=lambda hit: (-hit[0], hit[1], hit[2])):
        best.setdefault(hit[1], hit)
    return list(best.values())
