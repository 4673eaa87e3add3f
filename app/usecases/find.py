"""Which enrolled faces, and which users, are like this one? By faces and not by persons, and
against a threshold of one comparison."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import numpy as np

from app.settings import QualityLimits
from app.store import collections, faces, persons, users
from app.store.audit import record_of
from app.store.faces import Templates
from app.store.users import OwnedFace
from app.sync.follow import View
from app.types import Caller, Candidate, Face, Floats, Person
from app.usecases.looking import good_enough, known_to, naming
from app.usecases.rooms import Rooms
from app.usecases.users import faces_by_id
from app.vision.errors import FaceNotFound
from app.vision.faces import Vision

Floor = Callable[[Vision], float]
"""The least cosine that is worth offering, by the pack whose templates are searched."""

# Seconds that PostgreSQL has to say who was found.
_PATIENCE: Final = 5.0

# Of all who are like the probe the users are wanted: so many more are asked for at first.
_MORE: Final = 4


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture to look for: its largest face that is as good as `limits`, where there are any."""

    image: bytes
    limits: QualityLimits | None


@dataclass(frozen=True, slots=True)
class User:
    """A user to look for: by all of their faces."""

    external_id: str


@dataclass(frozen=True, slots=True)
class Shown:
    """The face of a photo that was looked for, and the others in it, the largest first."""

    face: Face
    others: Sequence[Face]


@dataclass(frozen=True, slots=True)
class FoundFaces:
    """Enrolled faces with their cosine, best first; `shown` where a photo was looked for."""

    shown: Shown | None
    faces: Sequence[tuple[OwnedFace, float]]
    vision: Vision


@dataclass(frozen=True, slots=True)
class FoundUsers:
    """Persons with an external id, with the cosine of their best face, best first."""

    shown: Shown | None
    users: Sequence[tuple[Person, float]]
    vision: Vision


@dataclass(frozen=True, slots=True)
class _Probe:
    """float32[N, D], and what is not to be offered: the face or the person itself."""

    vectors: Floats
    shown: Shown | None = None
    face_id: UUID | None = None
    person_id: UUID | None = None


async def faces_like(
    rooms: Rooms, caller: Caller, name: str, subject: Photo | UUID, most: int, floor: Floor
) -> FoundFaces:
    """The `most` enrolled faces that are most like a photo's, or like an enrolled face, which is
    not offered itself.

    Raises ImageRefused (FaceNotFound too), CollectionNotFound, EnrolledFaceNotFound,
    ModelNotLoaded, and what is temporarily unavailable.
    """
    known_to(caller, name)
    view = await rooms.sync.view(name)
    vision = rooms.vision_for(view.model)
    probe = await _probe(rooms, vision, name, subject)
    least = floor(vision)
    best = await _best_faces(rooms, view, probe, most, least)
    cosines = {each.face_id: each.similarity for each in best}
    owned = await faces_by_id(rooms, name, [*cosines])
    found = [(each, cosines[each.face.id]) for each in owned]
    await rooms.journal.write(
        record_of(
            caller,
            "identify",
            collection=name,
            revision=view.revision,
            model=vision.model,
            threshold=least,
            faces=[[each.face.person_id for each, _ in found]],
        )
    )
    return FoundFaces(probe.shown, found, vision)


async def users_like(
    rooms: Rooms, caller: Caller, name: str, subject: Photo | UUID | User, most: int, floor: Floor
) -> FoundUsers:
    """The `most` users whose best face is most like a photo's, an enrolled face, or any face of a
    user, who is not offered themselves. An enrolled face finds its own user.

    Raises what `faces_like` does, and PersonNotFound.
    """
    known_to(caller, name)
    view = await rooms.sync.view(name)
    vision = rooms.vision_for(view.model)
    probe = await _probe(rooms, vision, name, subject)
    least = floor(vision)
    found = await _best_users(rooms, view, probe, name, most, least)
    await rooms.journal.write(
        record_of(
            caller,
            "identify",
            collection=name,
            revision=view.revision,
            model=vision.model,
            threshold=least,
            faces=[[person.id for person, _ in found]],
        )
    )
    return FoundUsers(probe.shown, found, vision)


async def _best_faces(
    rooms: Rooms, view: View, probe: _Probe, most: int, floor: float
) -> list[Candidate]:
    """Of the best persons every face: the best `most` faces are among those of as many persons."""
    count = most + 1  # the face that was asked about may be among them
    [best] = await rooms.sync.search([view], probe.vectors, count, floor)
    if not best:
        return []
    owners = [each.person_id for each in best]
    found = await rooms.sync.each(view, owners, probe.vectors[0], count, floor)
    return [each for each in found if each.face_id != probe.face_id][:most]


async def _best_users(
    rooms: Rooms, view: View, probe: _Probe, name: str, most: int, floor: float
) -> list[tuple[Person, float]]:
    if not len(probe.vectors):
        return []
    count = _MORE * most + 1
    best, whole = await _best_persons(rooms, view, probe, count, floor)
    found = await _users_of(rooms, best)
    if len(found) < most and not whole:
        # Too many of the best are nobody's faces: then only users are looked at.
        async with rooms.database.transaction() as connection:
            home = await collections.get(connection, name)
            everybody = await users.ids(connection, home.id)
        known = await rooms.sync.among(view, everybody)
        best, _ = await _best_persons(rooms, known, probe, most + 1, floor)
        found = await _users_of(rooms, best)
    return found[:most]


async def _best_persons(
    rooms: Rooms, view: View, probe: _Probe, count: int, floor: float
) -> tuple[dict[UUID, float], bool]:
    """The `count` - 1 best persons but for who is asked about, with their best cosine, best first,
    and whether these are all above the floor."""
    lists = await rooms.sync.search([view], probe.vectors, count, floor)
    best: dict[UUID, float] = {}
    for each in (candidate for found in lists for candidate in found):
        if each.person_id != probe.person_id:
            best[each.person_id] = max(each.similarity, best.get(each.person_id, -np.inf))
    ranked = sorted(best.items(), key=lambda item: (-item[1], item[0]))
    # Further down, a person may have a better cosine in a list that was too short to hold it.
    return dict(ranked[: count - 1]), all(len(found) < count for found in lists)


async def _users_of(rooms: Rooms, best: Mapping[UUID, float]) -> list[tuple[Person, float]]:
    if not best:
        return []
    known = await persons.many(rooms.database, set(best), _PATIENCE)
    return [
        (known[person_id], cosine)
        for person_id, cosine in best.items()
        if person_id in known and known[person_id].external_id is not None
    ]


async def _probe(rooms: Rooms, vision: Vision, name: str, subject: Photo | UUID | User) -> _Probe:
    if isinstance(subject, Photo):
        return await _of_photo(vision, subject)
    async with rooms.database.transaction() as connection:
        home = await collections.get(connection, name)
        if isinstance(subject, User):
            person = await users.get(connection, home.id, subject.external_id)
            own = await faces.templates_of(connection, person.id, vision.model)
            return _Probe(own.vectors, person_id=person.id)
        own = Templates([], [], np.empty((0, 0), "f4"))
        if subject in await users.owned(connection, home.id, [subject]):
            own = await faces.templates_by_id(connection, [subject], vision.model)
    if not own.face_ids:
        raise faces.missing(subject)
    return _Probe(own.vectors, face_id=subject)


async def _of_photo(vision: Vision, photo: Photo) -> _Probe:
    with naming("image"):
        seen = await vision.faces(photo.image)
        good = good_enough(seen, photo.limits)
        if not good:
            raise FaceNotFound
    vectors = await vision.embed([good[0].crop])
    return _Probe(vectors, Shown(good[0], [face for face in seen if face is not good[0]]))
