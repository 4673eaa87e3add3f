"""From galleries to persons: which collections are searched, and who stands behind a candidate."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from app.errors import Conflict
from app.stages import current
from app.store import persons
from app.store.errors import DatabaseUnavailable
from app.sync.follow import View
from app.types import Caller, Candidate, Person
from app.usecases.looking import known_to
from app.usecases.rooms import Rooms

# The index can say who it is without names. A busy machine is worth waiting for, a database that
# nobody has heard of lately is not.
_PATIENCE: Final = 5.0
_PATIENCE_OUT_OF_TOUCH: Final = 0.5


class ModelsDiffer(Conflict):
    """Collections of several models were to be searched together."""

    code = "models_differ"


@dataclass(frozen=True, slots=True)
class Place:
    """Where is searched. With `person_ids` nobody else is offered; `min_revision` is for one
    collection alone."""

    collections: Sequence[str]
    person_ids: Sequence[UUID] | None
    min_revision: int


@dataclass(frozen=True, slots=True)
class Match:
    """A candidate with the person behind it; None while PostgreSQL cannot be asked."""

    candidate: Candidate
    collection: str
    person: Person | None


@dataclass(frozen=True, slots=True)
class Searched:
    """A collection that was searched, at which revision, and how many of its templates were."""

    name: str
    revision: int
    gallery_size: int

    @classmethod
    def of(cls, view: View) -> "Searched":
        return cls(view.name, view.revision, view.size)


async def views_of(rooms: Rooms, caller: Caller, place: Place) -> list[View]:
    """What stands there now. Raises CollectionNotFound, IndexBehind, IndexLoading."""
    for name in place.collections:
        known_to(caller, name)
    views = [await rooms.sync.view(name, place.min_revision) for name in place.collections]
    if place.person_ids is not None:
        with current()("choose"):
            views = [await rooms.sync.among(view, place.person_ids) for view in views]
    return views


def model_of(views: Sequence[View]) -> str | None:
    """The one model of all collections that are bound to any. Raises ModelsDiffer."""
    models = sorted({view.model for view in views if view.model is not None})
    if len(models) > 1:
        raise ModelsDiffer(
            "These collections are bound to different models, whose similarities cannot be "
            "compared. Ask for each model's collections by themselves.",
            models=models,
        )
    return models[0] if models else None


def told(views: Sequence[View]) -> dict[str, Any]:
    """What was searched, for the audit record."""
    if len(views) == 1:
        return {"collection": views[0].name, "revision": views[0].revision}
    return {
        "collections": [view.name for view in views],
        "revisions": [view.revision for view in views],
    }


def matches(
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


async def persons_of(rooms: Rooms, ids: Collection[UUID]) -> Mapping[UUID, Person] | None:
    """The persons behind the candidates; None when PostgreSQL does not answer."""
    if not ids:
        return {}
    patience = _PATIENCE if rooms.sync.in_touch else _PATIENCE_OUT_OF_TOUCH
    with current()("persons"):
        try:
            return await persons.many(rooms.database, ids, patience)
        except DatabaseUnavailable:
            return None
