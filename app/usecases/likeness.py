"""How alike is every face of a picture to one face: another picture's, or an enrolled one's?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import numpy as np

from app.settings import QualityLimits
from app.store import collections, faces
from app.store.audit import record_of
from app.types import Caller, Face, Floats
from app.usecases.looking import known_to, naming
from app.usecases.rooms import Rooms
from app.usecases.thresholds import for_verify
from app.vision.errors import FaceNotFound, SeveralFaces
from app.vision.faces import Vision
from app.vision.quality import refusals


@dataclass(frozen=True, slots=True)
class Likeness:
    """A face of the picture, and its similarity to the one that it was compared with."""

    face: Face
    similarity: float


@dataclass(frozen=True, slots=True)
class Compared:
    """`source` is None where it is an enrolled face; `likenesses` are largest face first, none
    where the picture shows nobody."""

    source: Face | None
    likenesses: Sequence[Likeness]
    model: str


@dataclass(frozen=True, slots=True)
class Looking:
    """Which faces of a picture count: the `most` largest, 0 for all, of those that the detector
    is sure of by `least_score`. `whole` has the picture looked at for all of them whatever is
    wanted, so that two looks at it see the same."""

    most: int = 0
    least_score: float = 0.0
    whole: bool = False

    def chosen(self, scores: Sequence[float]) -> list[int]:
        """The indices of the faces that count, by their detection scores, largest face first."""
        sure = [index for index, score in enumerate(scores) if score >= self.least_score]
        return sure[: self.most or None]

    @property
    def enough(self) -> int:
        """How many of the largest faces have to be found to choose from."""
        return 0 if self.whole or self.least_score > 0 else self.most


async def compare_images(
    rooms: Rooms,
    caller: Caller,
    source: bytes,
    target: bytes,
    looking: Looking,
    source_face: Literal["only", "largest"],
    limits: QualityLimits | None = None,
) -> Compared:
    """Every face of `target` beside the one of `source`; with `limits` only those that good.

    Raises ImageRefused: FaceNotFound for a source without one, SeveralFaces for one that must show
    one.
    """
    vision = rooms.default
    # Both are looked at alike where they can be, so that one picture twice is the same face.
    one = 1 if source_face == "largest" else 0
    only = Looking(one, looking.least_score, whole=looking.enough == 0)
    found, vectors = await _seen(vision, source, "source", only, limits)
    with naming("source"):
        if not found:
            raise FaceNotFound
        if len(found) > 1:
            raise SeveralFaces(len(found))
    others, theirs = await _seen(vision, target, "target", looking, limits)
    compared = Compared(found[0], _likenesses(others, theirs, vectors[0]), vision.model)
    await _record(rooms, caller, vision, compared)
    return compared


async def compare_enrolled(
    rooms: Rooms, caller: Caller, collection: str, face_id: UUID, image: bytes, looking: Looking
) -> Compared:
    """Every face of `image` beside an enrolled one of a collection.

    Counts as a verification of the face's person: where no face reaches the threshold of a
    verification, it is a refused one. Raises CollectionNotFound, EnrolledFaceNotFound,
    ImageRefused (FaceNotFound too), ModelNotLoaded, VerifyLimited.
    """
    known_to(caller, collection)
    async with rooms.database.transaction() as connection:
        home = await collections.get(connection, collection)
        if await faces.home_of(connection, face_id) != collection:
            raise faces.missing(face_id)
        vision = rooms.vision_for(home.model)
        known = await faces.templates_by_id(connection, [face_id], vision.model)
    if not known.face_ids:
        raise faces.missing(face_id)
    person_id = known.person_ids[0]
    rooms.access.allow_verify(caller.key_id, str(person_id))
    found, vectors = await _seen(vision, image, "image", looking, None)
    if not found:
        with naming("image"):
            raise FaceNotFound
    compared = Compared(None, _likenesses(found, vectors, known.vectors[0]), vision.model)
    if not _reached(rooms, vision, compared):
        rooms.access.refused(caller.key_id, str(person_id))
    await _record(rooms, caller, vision, compared, collection=collection, person_ids=[person_id])
    return compared


async def _seen(
    vision: Vision, image: bytes, name: str, looking: Looking, limits: QualityLimits | None
) -> tuple[list[Face], Floats]:
    with naming(name):
        seen = await vision.recognise(image, 0 if limits is not None else looking.enough)
    good = [
        index
        for index, face in enumerate(seen.faces)
        if limits is None or not refusals(face.quality, limits)
    ]
    chosen = [good[n] for n in looking.chosen([seen.faces[index].score for index in good])]
    return [seen.faces[index] for index in chosen], seen.embeddings[chosen]


def _likenesses(found: Sequence[Face], vectors: Floats, one: Floats) -> list[Likeness]:
    similarities = vectors.astype(np.float64) @ one.astype(np.float64)
    return [
        Likeness(face, float(similarity))
        for face, similarity in zip(found, similarities, strict=True)
    ]


def _reached(rooms: Rooms, vision: Vision, compared: Compared) -> bool:
    threshold = for_verify(vision.pack.calibration, rooms.settings, threshold=None, target_fmr=None)
    return any(one.similarity >= threshold.value for one in compared.likenesses)


async def _record(
    rooms: Rooms, caller: Caller, vision: Vision, compared: Compared, **where: object
) -> None:
    await rooms.journal.write(
        record_of(
            caller,
            "compare",
            **where,
            model=vision.model,
            faces=len(compared.likenesses),
            verified=_reached(rooms, vision, compared),
        )
    )
