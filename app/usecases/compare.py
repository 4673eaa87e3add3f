"""Which faces of one picture are the person of another? Nothing is stored."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.settings import QualityLimits
from app.store.audit import record_of
from app.types import Caller, Face
from app.usecases.looking import good_enough, naming
from app.usecases.rooms import Rooms
from app.vision.errors import FaceNotFound


@dataclass(frozen=True, slots=True)
class Compared:
    """The face that was looked for, and every face of the other picture with its similarity to it,
    the largest first."""

    source: Face
    targets: Sequence[tuple[Face, float]]
    model: str


async def compare(
    rooms: Rooms, caller: Caller, source: bytes, target: bytes, limits: QualityLimits | None
) -> Compared:
    """The largest face of `source` against all faces of `target`, where there may be none.

    With `limits` faces that are not that good are left out. Raises ImageRefused, FaceNotFound where
    `source` shows none.
    """
    vision = rooms.default
    # Both are looked at alike, so that one picture twice is the same face.
    with naming("source"):
        ours = good_enough(await vision.faces(source), limits)
        if not ours:
            raise FaceNotFound
    with naming("target"):
        theirs = good_enough(await vision.faces(target), limits)
    embeddings = await vision.embed([ours[0].crop, *(face.crop for face in theirs)])
    probe, others = embeddings[0].astype(np.float64), embeddings[1:].astype(np.float64)
    await rooms.journal.write(record_of(caller, "compare", model=vision.model, faces=len(theirs)))
    similarities = (others @ probe).tolist()
    return Compared(ours[0], list(zip(theirs, similarities, strict=True)), vision.model)
