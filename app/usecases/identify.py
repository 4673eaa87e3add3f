"""Who is this, among the people of a collection?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import numpy as np

from app.errors import Conflict
from app.stages import current
from app.store import faces, persons
from app.store.audit import record_of
from app.store.errors import DatabaseUnavailable
from app.sync.follow import View
from app.types import Caller, Candidate, Detection, Face, Person, Quality
from app.usecases.looking import known_to, naming
from app.usecases.rooms import Rooms
from app.usecases.thresholds import Threshold, for_identify
from app.vision.errors import FaceNotFound
from app.vision.faces import Vision

# The index can say who it is without names. A busy machine is worth waiting for, a database that
# nobody has heard of lately is not.
_PATIENCE: Final = 5.0
_PATIENCE_OUT_OF_TOUCH: Final = 0.5


class ModelsDiffer(Conflict):
    """Collections of several models were to be searched together."""

    code = "models_differ"


@dataclass(frozen=True, slots=True)
class Probe:
    """What is asked: a photo, or an enrolled face by its id. `max_faces` 0 means every face of the
    photo; with `person_ids` nobody else is offered. `min_revision` is for one collection alone."""

    subject: bytes | UUID
    collections: Sequence[str]
    person_ids: Sequence[UUID] | None
    top_k: int
    max_faces: int
    threshold: float | None
    target_fpir: float | None
    min_revision: int


@dataclass(frozen=True, slots=True)
class Match:
    """A candidate with the person behind it; None while PostgreSQL cannot be asked."""

    candidate: Candidate
    collection: str
    person: Person | None


@dataclass(frozen=True, slots=True)
class ProbedFace:
    detection: Detection | Face
    quality: Quality
    matches: list[Match]


@dataclass(frozen=True, slots=True)
class Searched:
    """A collection that was searched, at which revision, and how many of its templates were."""

    name: str
    revision: int
    gallery_size: int


@dataclass(frozen=True, slots=True)
class Identified:
    """`details` tells whether names and metadata could be read."""

    faces: list[ProbedFace]
    threshold: Threshold
    collections: list[Searched]
    model: str
    details: bool

    @property
    def gallery_size(self) -> int:
        """Templates that were searched in all."""
        return sum(each.gallery_size for each in self.collections)


_Seen = tuple[Detection | Face, Quality]


async def identify(rooms: Rooms, caller: Caller, probe: Probe) -> Identified:
    """Candidates at or above the threshold, by face.

    Raises ImageRefused (FaceNotFound too), CollectionNotFound, EnrolledFaceNotFound, ModelsDiffer,
    TargetUnsupported, ModelNotLoaded, and what is temporarily unavailable.
    """
    views = await _views(rooms, caller, probe)
    vision = rooms.vision_for(_model_of(views))
    threshold = for_identify(
        vision.pack.calibration,
        rooms.settings,
        sum(view.size for view in views),
        threshold=probe.threshold,
        target_fpir=probe.target_fpir,
    )
    if isinstance(probe.subject, UUID):
        seen, found = await _by_enrolled(
            rooms, caller, vision.model, views, probe.subject, probe.top_k, threshold.value
        )
    else:
        seen, found = await _by_photo(rooms, vision, views, probe.subject, probe, threshold.value)
    known = await _persons(rooms, {one.person_id for each in found for one in each})
    probed = [
        ProbedFace(detection, quality, _matches(candidates, views, known))
        for (detection, quality), candidates in zip(seen, found, strict=True)
    ]
    await rooms.journal.write(
        record_of(
            caller,
            "identify",
            **_where(views),
            among=None if probe.person_ids is None else len(probe.person_ids),
            model=vision.model,
            threshold=threshold.value,
            faces=[[match.candidate.person_id for match in each.matches] for each in probed],
        )
    )
    return Identified(
        faces=probed,
        threshold=threshold,
        collections=[Searched(view.name, view.revision, view.size) for view in views],
        model=vision.model,
        details=known is not None,
    )


async def _by_photo(
    rooms: Rooms, vision: Vision, views: list[View], image: bytes, probe: Probe, threshold: float
) -> tuple[list[_Seen], list[list[Candidate]]]:
    with naming("image"):
        shown, embeddings = await vision.recognise(image, probe.max_faces)
        if not shown:
            raise FaceNotFound
    found = await rooms.sync.search(views, embeddings, probe.top_k, threshold)
    return [(face, face.quality) for face in shown], found


async def _by_enrolled(
    rooms: Rooms,
    caller: Caller,
    model: str,
    views: list[View],
    face_id: UUID,
    top_k: int,
    threshold: float,
) -> tuple[list[_Seen], list[list[Candidate]]]:
    """A face finds itself, which says nothing: whoever it belongs to is offered by other faces.

    Raises EnrolledFaceNotFound, ModelsDiffer.
    """
    async with rooms.database.transaction() as connection:
        if not caller.sees(await faces.home_of(connection, face_id)):
            raise faces.missing(face_id)
        face = await faces.get(connection, face_id)
        own = await faces.templates_of(connection, face.person_id, model)
    if face_id not in own.face_ids:
        raise ModelsDiffer(
            f"This face has no template by model {model}, which the collection is bound to. "
            "Send a photo instead.",
            models=[model],
        )
    place = own.face_ids.index(face_id)
    probe = own.vectors[place]
    [found] = await rooms.sync.search(views, probe[np.newaxis], top_k + 1, threshold)
    similarities = own.vectors.astype(np.float64) @ probe.astype(np.float64)
    similarities[place] = -np.inf
    best = int(similarities.argmax())
    others = []
    for each in found:
        if each.face_id != face_id:
            others.append(each)
        elif similarities[best] >= threshold:
            similarity = float(similarities[best])
            others.append(Candidate(each.person_id, own.face_ids[best], similarity, each.source))
    others.sort(key=lambda each: -each.similarity)
    return [(face.detection, face.quality)], [others[:top_k]]


async def _views(rooms: Rooms, caller: Caller, probe: Probe) -> list[View]:
    for name in probe.collections:
        known_to(caller, name)
    views = [await rooms.sync.view(name, probe.min_revision) for name in probe.collections]
    if probe.person_ids is not None:
        with current()("choose"):
            views = [await rooms.sync.among(view, probe.person_ids) for view in views]
    return views


def _model_of(views: Sequence[View]) -> str | None:
    """The one model of all collections that are bound to any. Raises ModelsDiffer."""
    models = sorted({view.model for view in views if view.model is not None})
    if len(models) > 1:
        raise ModelsDiffer(
            "These collections are bound to different models, whose similarities cannot be "
            "compared. Ask for each model's collections by themselves.",
            models=models,
        )
    return models[0] if models else None


def _where(views: Sequence[View]) -> dict[str, Any]:
    """What was searched, for the audit record."""
    if len(views) == 1:
        return {"collection": views[0].name, "revision": views[0].revision}
    return {
        "collections": [view.name for view in views],
        "revisions": [view.revision for view in views],
    }


def _matches(
    candidates: list[Candidate], views: Sequence[View], known: Mapping[UUID, Person] | None
) -> list[Match]:
    """With the persons that are still enrolled: what was erased meanwhile is not shown."""
    return [
        Match(
            candidate,
            views[candidate.source].name,
            None if known is None else known[candidate.person_id],
        )
        for candidate in candidates
        if known is None or candidate.person_id in known
    ]


async def _persons(rooms: Rooms, ids: set[UUID]) -> Mapping[UUID, Person] | None:
    """The persons behind the candidates; None when PostgreSQL does not answer."""
    if not ids:
        return {}
    patience = _PATIENCE if rooms.sync.in_touch else _PATIENCE_OUT_OF_TOUCH
    with current()("persons"):
        try:
            return await persons.many(rooms.database, ids, patience)
        except DatabaseUnavailable:
            return None
