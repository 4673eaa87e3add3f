"""The first of two stages: the rows whose short codes are likeliest to be the best.

What a code leaves out makes the order of scores uncertain, not the scores of the second stage:
the rows on the list are scored as in an exact search. A row that is not on the list is lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.gallery import compiled
from app.gallery.blocks import View
from app.gallery.ranking import Found, Hit, best
from app.gallery.storage import Codes, Exact
from app.types import Floats


@dataclass(frozen=True, slots=True)
class Likely:
    """Of a run of views that begins with number `first`: for each query the estimated
    similarities float32[Q, R], best first, and the view int64[Q, R] and row of each; -1: none."""

    scores: Floats
    owners: NDArray[np.int64]
    rows: NDArray[np.int64]


def likely(views: Sequence[View], first: int, queries: Floats, count: int) -> Likely:
    """The likely best `count` rows of these views, whose gallery keeps codes."""
    used = np.array([view.used for view in views], dtype=np.int64)
    codes = [_codes(view) for view in views]
    masks = [_mask(view) for view in views]
    scores, where = compiled.scan_codes(
        np.array([each.address for each in codes], dtype=np.uintp),
        np.array([each.factors_address for each in codes], dtype=np.uintp),
        np.array([0 if mask is None else mask.ctypes.data for mask in masks], dtype=np.uintp),
        used,
        views[0].block.dimension,
        queries,
        count,
    )
    ends = np.cumsum(used)
    owners = np.searchsorted(ends, where, side="right")
    rows = where - (ends - used)[np.minimum(owners, len(views) - 1)]
    return Likely(scores, np.where(where < 0, -1, owners + first), rows)


def _codes(view: View) -> Codes:
    if view.block.codes is None:
        raise TypeError("the first stage looks at codes, and this gallery was made without")
    return view.block.codes


def _mask(view: View) -> NDArray[np.bool_] | None:
    if not len(view.dead):
        return None
    mask = np.zeros(view.used, dtype=bool)
    mask[view.dead] = True
    return mask


@dataclass(frozen=True, slots=True)
class Chosen:
    """The rows on the list of one query; `all_rows`: there are no others."""

    owners: NDArray[np.int64]
    rows: NDArray[np.int64]
    all_rows: bool

    def has_persons(self, views: Sequence[View], count: int) -> bool:
        """Whether they are of at least so many persons."""
        found: set[bytes] = set()
        for owner, row in zip(self.owners.tolist(), self.rows.tolist(), strict=True):
            found.add(views[owner].block.persons[:, row].tobytes())
            if len(found) == count:  # after a few rows, nearly always
                return True
        return False


def choose(lists: Sequence[Likely]) -> list[Chosen]:
    """The best of the lists of all runs together, as many for each query as one of them has."""
    scores = np.concatenate([each.scores for each in lists], axis=1)
    owners = np.concatenate([each.owners for each in lists], axis=1)
    rows = np.concatenate([each.rows for each in lists], axis=1)
    count = lists[0].scores.shape[1]
    chosen: list[Chosen] = []
    for number in range(len(scores)):
        there = np.flatnonzero(owners[number] >= 0)
        score, owner, row = (each[number, there] for each in (scores, owners, rows))
        if len(there) > count:
            least = np.partition(score, len(there) - count)[len(there) - count]
            above, level = np.flatnonzero(score > least), np.flatnonzero(score == least)
            # Of equal estimates the earlier rows stay, however rows were spread over threads.
            level = level[np.lexsort((row[level], owner[level]))]
            best_ones = np.concatenate((above, level[: count - len(above)]))
            owner, row = owner[best_ones], row[best_ones]
        chosen.append(Chosen(owner, row, len(there) < count))
    return chosen


def look_again(
    views: Sequence[View], chosen: Sequence[Chosen], queries: Floats, top: int, floor: float
) -> list[list[Hit]]:
    """The `top` best persons of at least `floor` among the rows that were chosen."""
    blocks = np.array([_address(view) for view in views], dtype=np.uintp)
    nothing = np.full((1, len(views)), -np.inf, dtype=np.float32)
    hits: list[list[Hit]] = []
    for number, each in enumerate(chosen):
        query = queries[number]
        scores = compiled.score_places(
            blocks, each.owners, each.rows, views[0].block.dimension, query
        )
        found = Found(views, scores[None], each.rows[None], nothing, each.owners)
        hits += best(found, query[None], top, floor) if len(each.rows) else [[]]
    return hits


def _address(view: View) -> int:
    stored = view.block.stored
    if not isinstance(stored, Exact):
        raise TypeError("the second stage looks at float32 rows")
    return stored.address
