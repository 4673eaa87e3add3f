"""Who is this, among the people of a collection?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.stages import current
from app.store import persons
from app.store.audit import record_of
from app.store.errors import DatabaseUnavailable
from app.types import Caller, Candidate, Face, Person
from app.usecases.looking import by_size, known_to, naming
from app.usecases.rooms import Rooms
from app.usecases.thresholds import Threshold, for_identify
from app.vision.errors import FaceNotFound

# The index can say who it is without names. A busy machine is worth waiting for, a database that
# nobody has heard of lately is not.
_PATIENCE: Final = 5.0
_PATIENCE_OUT_OF_TOUCH: Final = 0.5


@dataclass(frozen=True, slots=True)
class Probe:
    """What is asked. `max_faces` 0 means every face of the picture."""

    image: bytes
    collection: str
    top_k: int
    max_faces: int
    threshold: float | None
    target_fpir: float | None
    min_revision: int


@dataclass(frozen=True, slots=True)
class Match:
    """A candidate with the person behind it; None while PostgreSQL cannot be asked."""

    candidate: Candidate
    person: Person | None


@dataclass(frozen=True, slots=True)
class ProbedFace:
    face: Face
    matches: list[Match]


@dataclass(frozen=True, slots=True)
class Identified:
    """`details` tells whether names and metadata could be read."""

    faces: list[ProbedFace]
    threshold: Threshold
    gallery_size: int
    revision: int
    model: str
    details: bool


async def identify(rooms: Rooms, caller: Caller, probe: Probe) -> Identified:
    """Candidates at or above the threshold, by face.

    Raises ImageRefused (FaceNotFound too), CollectionNotFound, TargetUnsupported, ModelNotLoaded,
    and what is temporarily unavailable.
    """
    known_to(caller, probe.collection)
    view = await rooms.sync.view(probe.collection, probe.min_revision)
    vision = rooms.vision_for(view.model)
    threshold = for_identify(
        vision.pack.calibration,
        rooms.settings,
        view.size,
        threshold=probe.threshold,
        target_fpir=probe.target_fpir,
    )
    with naming("image"):
        faces = by_size(await vision.faces(probe.image, probe.max_faces))[: probe.max_faces or None]
        if not faces:
            raise FaceNotFound
    embeddings = await vision.embed([face.crop for face in faces])
    found = await rooms.sync.search(view, embeddings, probe.top_k, threshold.value)
    known = await _persons(rooms, {one.person_id for each in found for one in each})
    probed = [
        ProbedFace(face, _matches(candidates, known))
        for face, candidates in zip(faces, found, strict=True)
    ]
    await rooms.journal.write(
        record_of(
            caller,
            "identify",
            collection=probe.collection,
            model=vision.model,
            threshold=threshold.value,
            revision=view.revision,
            faces=[[match.candidate.person_id for match in each.matches] for each in probed],
        )
    )
    return Identified(
        faces=probed,
        threshold=threshold,
        gallery_size=view.size,
        revision=view.revision,
        model=vision.model,
        details=known is not None,
    )


def _matches(candidates: list[Candidate], known: Mapping[UUID, Person] | None) -> list[Match]:
    """With the persons that are still enrolled: what was erased meanwhile is not shown."""
    if known is None:
        return [Match(candidate, None) for candidate in candidates]
    return [
        Match(candidate, known[candidate.person_id])
        for candidate in candidates
        if candidate.person_id in known
    ]


async def _persons(rooms: Rooms, ids: set[UUID]) -> Mapping[UUID, Person] | None:
    """The persons behind the candidates; None when PostgreSQL does not answer."""
    if not ids:
        return {}
    patience = _PATIENCE if rooms.sync.in_touch else _PATIENCE_OUT_OF_TOUCH
    with current()("persons"):
        try:
            async with rooms.database.transaction(patience) as connection:
                return await persons.many(connection, list(ids))
        except DatabaseUnavailable:
            return None
