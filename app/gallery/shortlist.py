"""The first of two stages: the rows whose short codes are likeliest to be the best.

What a code leaves out makes the order of scores uncertain, not the scores of the second stage:
the rows on the list are scored as in an exact search. A row that is not on the list is lost.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.gallery import compiled
from app.gallery.blocks import View, as_bytes
from app.gallery.ranking import Found, Hit, best
from app.gallery.storage import Exact
from app.types import Floats


@dataclass(frozen=True, slots=True)
class Likely:
    """Of a run of views that begins with number `first`: for each query the estimated
    similarities float32[Q, R], best first, and the view int64[Q, R] and row of each; -1: none."""

    scores: Floats
    owners: NDArray[np.int64]
    rows: NDArray[np.int64]


def likely(views: Sequence[View], first: int, queries: Floats, count: int) -> Likely:
    """The likely best `count` rows of these views, which have codes."""
    used = np.array([view.used for view in views], dtype=np.int64)
    codes = [view.block.codes for view in views]
    masks = [_mask(view) for view in views]
    scores, where = compiled.scan_codes(
        np.array([each.bits.ctypes.data for each in codes if each], dtype=np.uintp),
        np.array([each.factors.ctypes.data for each in codes if each], dtype=np.uintp),
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


def _mask(view: View) -> NDArray[np.bool_] | None:
    if not len(view.dead):
        return None
    mask = np.zeros(view.used, dtype=bool)
    mask[view.dead] = True
    return mask


def look_again(
    views: Sequence[View], lists: Sequence[Likely], queries: Floats, top: int, floor: float
) -> list[list[Hit]]:
    """The `top` best persons of at least `floor` among the likeliest rows of all lists, which are
    cut to the length of one."""
    count = max(each.scores.shape[1] for each in lists)
    scores = np.concatenate([each.scores for each in lists], axis=1)
    owners = np.concatenate([each.owners for each in lists], axis=1)
    rows = np.concatenate([each.rows for each in lists], axis=1)
    blocks = np.array([_address(view) for view in views], dtype=np.uintp)
    nothing = np.full((1, len(views)), -np.inf, dtype=np.float32)
    hits = []
    for number, query in enumerate(queries):
        chosen = np.flatnonzero(owners[number] >= 0)
        if len(chosen) > count:
            # Stable, so that of equal estimates the earlier rows stay, however rows were spread.
            order = np.argsort(-scores[number, chosen], kind="stable")
            chosen = chosen[order[:count]]
        owner, row = owners[number, chosen], rows[number, chosen]
        exact = compiled.score_places(blocks, owner, row, views[0].block.dimension, query)
        found = Found(views, exact[None], row[None], nothing, owner)
        hits += best(found, queries[number : number + 1], top, floor) if len(chosen) else [[]]
    return hits


def crowded(views: Sequence[View], lists: Sequence[Likely], number: int, top: int) -> bool:
    """Whether rows were left off the lists of a query that have fewer than `top` persons, as where
    one person has more templates than a list has places."""
    persons: set[bytes] = set()
    left_off = False
    for each in lists:
        owners, rows = each.owners[number], each.rows[number]
        left_off |= bool(owners[-1] >= 0)
        for owner in np.unique(owners[owners >= 0]):
            ids = views[owner].block.persons[:, rows[owners == owner]]
            persons.update(as_bytes(ids))
    return left_off and len(persons) < top


def _address(view: View) -> int:
    stored = view.block.stored
    if not isinstance(stored, Exact):
        raise TypeError("the second stage looks at float32 rows")
    return stored.vectors.ctypes.data
