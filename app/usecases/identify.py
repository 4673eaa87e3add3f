"""Who is this, among the people of a collection?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from app.errors import Conflict
from app.stages import current
from app.store import persons
from app.store.audit import record_of
from app.store.errors import DatabaseUnavailable
from app.sync.follow import View
from app.types import Caller, Candidate, Face, Person
from app.usecases.looking import known_to, naming
from app.usecases.rooms import Rooms
from app.usecases.thresholds import Threshold, for_identify
from app.vision.errors import FaceNotFound

# The index can say who it is without names. A busy machine is worth waiting for, a database that
# nobody has heard of lately is not.
_PATIENCE: Final = 5.0
_PATIENCE_OUT_OF_TOUCH: Final = 0.5


class ModelsDiffer(Conflict):
    """Collections of several models were to be searched together."""

    code = "models_differ"


@dataclass(frozen=True, slots=True)
class Probe:
    """What is asked. `max_faces` 0 means every face of the picture; with `person_ids` nobody else
    is offered. `min_revision` is for one collection alone."""

    image: bytes
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
    face: Face
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


async def identify(rooms: Rooms, caller: Caller, probe: Probe) -> Identified:
    """Candidates at or above the threshold, by face.

    Raises ImageRefused (FaceNotFound too), CollectionNotFound, ModelsDiffer, TargetUnsupported,
    ModelNotLoaded, and what is temporarily unavailable.
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
    with naming("image"):
        faces, embeddings = await vision.recognise(probe.image, probe.max_faces)
        if not faces:
            raise FaceNotFound
    found = await rooms.sync.search(views, embeddings, probe.top_k, threshold.value)
    known = await _persons(rooms, {one.person_id for each in found for one in each})
    probed = [
        ProbedFace(face, _matches(candidates, views, known))
        for face, candidates in zip(faces, found, strict=True)
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
