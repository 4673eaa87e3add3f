"""Users, as other services call persons with an id of the caller's: made before there is a face,
and given faces that are enrolled already. What counts and what is allowed is as everywhere."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID, uuid4

import numpy as np

from app.failpoints import hit
from app.store import audit, collections, durability, faces, idempotency, persons, users
from app.store.audit import record_of
from app.store.change import Change, changing, lock_named
from app.store.idempotency import Reservation
from app.store.persons import NewPerson, Page
from app.store.users import FacePage, OwnedFace
from app.types import Caller, Person
from app.usecases.enroll import require_consent
from app.usecases.looking import known_to
from app.usecases.once import Answer
from app.usecases.rooms import Rooms
from app.vision.faces import Vision


@dataclass(frozen=True, slots=True)
class Unmoved:
    """A face that stays where it is. `similarity` is what it has to the user's nearest face, where
    that is the reason; `user` the one that has it."""

    face_id: UUID
    reason: Literal["not_found", "of_another", "unlike"]
    user: str | None = None
    similarity: float | None = None


@dataclass(frozen=True, slots=True)
class Associated:
    """Which faces the user has, or has no more, and which stay as they were. `faces` counts all of
    the user's now; `vision` is the pack of the collection."""

    moved: Sequence[UUID]
    unmoved: Sequence[Unmoved]
    faces: int
    vision: Vision


@dataclass(frozen=True, slots=True)
class Wish:
    """Faces of a collection, and the user meant."""

    collection: str
    user: str
    face_ids: Sequence[UUID]


Shape = Callable[[Associated], Answer]


async def create(
    rooms: Rooms, caller: Caller, collection: str, user: str, reservation: Reservation | None
) -> Answer:
    """A person without a face. Raises CollectionNotFound, ExternalIdTaken, ConsentMissing."""
    known_to(caller, collection)
    require_consent(rooms, None)
    async with rooms.database.transaction() as connection:
        await durability.require(connection)
        # Persons are numbered under the lock, in the order of enrolment.
        home = await collections.lock(connection, collection)
        person_id = uuid4()
        await persons.add(connection, home.id, person_id, NewPerson(external_id=user))
        if reservation is not None:
            await idempotency.fulfil(connection, reservation, {}, person_id)
        record = record_of(caller, "person.add", collection=collection, person_ids=[person_id])
        await audit.append(connection, [(record.id, record.text())])
    return {}


async def delete(
    rooms: Rooms, caller: Caller, collection: str, user: str, reservation: Reservation | None
) -> Answer:
    """Erase what is said of a person; each face goes on by itself.

    Raises CollectionNotFound, PersonNotFound.
    """
    known_to(caller, collection)
    async with changing(rooms.database, lock_named(collection)) as change:
        person = await users.get(change.connection, change.collection.id, user)
        face_ids = await faces.ids_of(change.connection, person.id)
        await change.set_apart(face_ids, person)
        await change.remove_person(person.id)
        if reservation is not None:
            await idempotency.fulfil(change.connection, reservation, {}, None)
        change.record = _record(change, caller, "person.dissolve", person, face_ids)
    await _applied(rooms, change)
    return {}


async def page(rooms: Rooms, caller: Caller, collection: str, *, after: int, limit: int) -> Page:
    """The users of a collection in order of enrolment. Raises CollectionNotFound."""
    known_to(caller, collection)
    async with rooms.database.transaction() as connection:
        home = await collections.get(connection, collection)
        found = await persons.page(
            connection, home.id, after=after, limit=limit, with_external_id=True
        )
    await rooms.journal.write(
        record_of(caller, "person.list", collection=collection, persons=len(found.persons))
    )
    return found


async def count(rooms: Rooms, caller: Caller, collection: str) -> int:
    """How many users a collection has. Raises CollectionNotFound."""
    known_to(caller, collection)
    async with rooms.database.transaction() as connection:
        home = await collections.get(connection, collection)
        return await users.count(connection, home.id)


async def face_page(
    rooms: Rooms,
    caller: Caller,
    collection: str,
    *,
    after: int,
    limit: int,
    user: str | None = None,
    among: Sequence[UUID] | None = None,
) -> tuple[FacePage, str | None]:
    """Faces of a collection with the users they belong to, in order of enrolment: all, those of a
    user, those `among` some; and the collection's model. Raises CollectionNotFound,
    PersonNotFound."""
    known_to(caller, collection)
    async with rooms.database.transaction() as connection:
        home = await collections.get(connection, collection)
        if user is not None:
            await users.get(connection, home.id, user)
        found = await users.face_page(
            connection, home.id, after=after, limit=limit, external_id=user, among=among
        )
    await rooms.journal.write(
        record_of(caller, "face.list", collection=collection, faces=len(found.faces))
    )
    return found, home.model


async def faces_by_id(rooms: Rooms, collection: str, face_ids: Sequence[UUID]) -> list[OwnedFace]:
    """Those of `face_ids` that are enrolled still, in this order: for whoever may know of them.

    Raises CollectionNotFound.
    """
    if not face_ids:
        return []
    async with rooms.database.transaction() as connection:
        home = await collections.get(connection, collection)
        found = await users.owned(connection, home.id, face_ids)
    return [found[each] for each in face_ids if each in found]


async def associate(
    rooms: Rooms,
    caller: Caller,
    wish: Wish,
    is_alike: Callable[[Vision, float], bool],
    shape: Shape,
    reservation: Reservation | None,
) -> Answer:
    """Give faces of nobody to a user, those that are alike to a face the user has by then.

    `is_alike` judges the cosine of two faces; of a user without a face the first one is taken for
    granted. Whoever is left without a face and a name is erased. Raises CollectionNotFound,
    PersonNotFound, ModelNotLoaded, TemplateUnreadable.
    """
    known_to(caller, wish.collection)
    async with changing(rooms.database, lock_named(wish.collection)) as change:
        person = await users.get(change.connection, change.collection.id, wish.user)
        owned = await users.owned(change.connection, change.collection.id, wish.face_ids)
        free = [each for each in wish.face_ids if _is_free(owned.get(each))]
        vision = rooms.vision_for(change.collection.model)
        unlike = await _unlike(change, vision, person, free, is_alike)
        moved = [face_id for face_id in free if face_id not in unlike]
        if moved:
            await change.move_faces(moved, person.id)
            emptied = {owned[face_id].face.person_id for face_id in moved}
            await persons.remove_unnamed(change.connection, emptied)
        done, unmoved = [], []
        for face_id in wish.face_ids:
            if face_id in unlike:
                unmoved.append(Unmoved(face_id, "unlike", similarity=unlike[face_id]))
            elif face_id in moved or _is_of(owned.get(face_id), wish.user):
                done.append(face_id)
            else:
                unmoved.append(_unmoved(face_id, owned.get(face_id)))
        answer = shape(Associated(done, unmoved, person.face_count + len(moved), vision))
        if reservation is not None:
            await idempotency.fulfil(change.connection, reservation, answer, person.id)
        change.record = _record(change, caller, "face.move", person, moved)
    await _applied(rooms, change)
    return answer


async def disassociate(
    rooms: Rooms,
    caller: Caller,
    wish: Wish,
    shape: Shape,
    reservation: Reservation | None,
) -> Answer:
    """Take faces from a user: each is a person of its own then, who may be kept as long as the
    user may. Raises CollectionNotFound, PersonNotFound, TemplateUnreadable."""
    known_to(caller, wish.collection)
    async with changing(rooms.database, lock_named(wish.collection)) as change:
        person = await users.get(change.connection, change.collection.id, wish.user)
        owned = await users.owned(change.connection, change.collection.id, wish.face_ids)
        moved = [each for each in wish.face_ids if _is_of(owned.get(each), wish.user)]
        await change.set_apart(moved, person)
        unmoved = [_unmoved(each, owned.get(each)) for each in wish.face_ids if each not in moved]
        vision = rooms.vision_for(change.collection.model)
        answer = shape(Associated(moved, unmoved, person.face_count - len(moved), vision))
        if reservation is not None:
            await idempotency.fulfil(change.connection, reservation, answer, person.id)
        change.record = _record(change, caller, "face.move", person, moved)
    await _applied(rooms, change)
    return answer


async def _unlike(
    change: Change,
    vision: Vision,
    person: Person,
    face_ids: Sequence[UUID],
    is_alike: Callable[[Vision, float], bool],
) -> dict[UUID, float]:
    """Those of `face_ids` that are not alike to any face of a person, nor to one of those that are
    taken before them, with the similarity that they have."""
    own = await faces.templates_of(change.connection, person.id, vision.model)
    new = await faces.templates_by_id(change.connection, face_ids, vision.model)
    vectors = dict(zip(new.face_ids, new.vectors.astype(np.float64), strict=True))
    known = list(own.vectors.astype(np.float64))
    unlike: dict[UUID, float] = {}
    for face_id in face_ids:
        vector = vectors.get(face_id)
        if vector is None:  # of another model: nothing can be said
            unlike[face_id] = -1.0
            continue
        best = max((float(vector @ each) for each in known), default=1.0)
        if known and not is_alike(vision, best):
            unlike[face_id] = best
        else:
            known.append(vector)
    return unlike


def _is_free(face: OwnedFace | None) -> bool:
    return face is not None and face.external_id is None


def _is_of(face: OwnedFace | None, user: str) -> bool:
    return face is not None and face.external_id == user


def _unmoved(face_id: UUID, face: OwnedFace | None) -> Unmoved:
    if face is None or face.external_id is None:
        return Unmoved(face_id, "not_found")
    return Unmoved(face_id, "of_another", user=face.external_id)


def _record(
    change: Change, caller: Caller, action: str, person: Person, face_ids: Sequence[UUID]
) -> audit.Record:
    return record_of(
        caller,
        action,
        collection=change.collection.name,
        person_ids=[person.id],
        face_ids=face_ids,
        revision=change.revision,
    )


async def _applied(rooms: Rooms, change: Change) -> None:
    await rooms.sync.applied(change)
    hit("change.applied")
