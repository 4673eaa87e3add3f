"""Every template of a selection by itself, where the best of each person is not enough."""

from typing import Final
from uuid import UUID

import numpy as np

from app.gallery.ranking import Hit, Place, scored
from app.gallery.selection import Selection
from app.types import Candidate, Floats

_PIECE: Final = 1024
"""Templates that are scored at a time: in float64 they take twice their room."""


def each_template(
    selection: Selection, query: Floats, top: int, floor: float = -1.0
) -> list[Candidate]:
    """The `top` most similar templates of at least `floor` to `query`, float32[D], best first.

    Similarities are those of a search; equal ones go by person id, then face id. All templates of
    the selection are scored: for those of a few persons.
    """
    places: list[Place] = []
    for view in selection.views:
        alive = np.ones(view.used, dtype=bool)
        alive[view.dead] = False
        places += [(view, int(row)) for row in np.flatnonzero(alive)]
    for few in selection.few:
        places += [(few.view, int(row)) for row in few.rows]
    hits: list[Hit] = []
    for begin in range(0, len(places), _PIECE):
        hits += scored([places[begin : begin + _PIECE]], query[np.newaxis])[0]
    # A floor of -1 lets everything pass: of opposite float32 rows the product may be less.
    least = floor if floor > -1 else -np.inf
    best = sorted(
        (hit for hit in hits if hit[0] >= least), key=lambda hit: (-hit[0], hit[1], hit[2])
    )
    return [
        Candidate(UUID(bytes=person), UUID(bytes=face), similarity)
        for similarity, person, face in best[:top]
    ]
