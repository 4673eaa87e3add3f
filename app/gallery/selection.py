"""Which templates a search looks at: all of a state, or those of some persons."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np

from app.gallery.blocks import Index, View, Wanted, packed
from app.gallery.index import State

SPARSE: Final = 4
"""Of a block, one row in so many: with fewer, copying them out beats reading the whole block."""


@dataclass(frozen=True, slots=True, eq=False)
class Few:
    """Some rows of a block, ascending; all of them count."""

    view: View
    rows: Index


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Templates of one state.

    `views` are read from end to end: a row that is not meant is among their `dead`. `few` lists
    the rows of blocks that have few of them. `size` counts templates.
    """

    state: State
    views: tuple[View, ...]
    few: tuple[Few, ...]
    size: int


def everything(state: State) -> Selection:
    """All templates of a state. Selections of one state share their `views`."""
    return Selection(state, state.views, (), state.size)


def only(state: State, persons: Iterable[UUID]) -> Selection:
    """The templates of these persons; those that are not there have none.

    Looks at eight bytes of each row: a few milliseconds for a million rows.
    """
    names = b"".join(person.bytes for person in persons)
    wanted = Wanted(packed(np.frombuffer(names, dtype=np.uint8).reshape(-1, 16)))
    views: list[View] = []
    few: list[Few] = []
    size = 0
    for view in state.views:
        rows = wanted.among(view.block.persons, view)
        size += len(rows)
        if len(rows) == view.size:
            views.append(view)
        elif len(rows) * SPARSE >= view.used:
            others = np.delete(np.arange(view.used, dtype=np.intp), rows)
            views.append(View(view.block, view.used, others))
        elif len(rows):
            few.append(Few(view, rows))
    return Selection(state, tuple(views), tuple(few), size)
