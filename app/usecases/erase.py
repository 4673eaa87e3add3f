"""Take faces, persons and collections away, from PostgreSQL, index and snapshot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.failpoints import hit
from app.store import audit, collections, durability, faces, persons, users
from app.store import change as changes
from app.store.audit import record_of
from app.store.change import Change, changing
from app.types import Caller
from app.usecases.looking import known_to
from app.usecases.rooms import Rooms


@dataclass(frozen=True, slots=True)
class Erased:
    """What went. `revision` is None where the whole collection did."""

    collection: str
    persons: int
    faces: int
    revision: int | None


async def erase_person(rooms: Rooms, caller: Caller, person_id: UUID) -> Erased:
    """Raises PersonNotFound."""
    async with changing(rooms.database, changes.lock_of_person(person_id)) as change:
        if not caller.sees(change.collection.name):
            raise persons.missing(person_id)
        count = await _remove(change, caller, person_id, "person.erase")
    await rooms.sync.applied(change)
    hit("change.applied")
    return Erased(change.collection.name, 1, count, change.revision)


async def expire_person(rooms: Rooms, caller: Caller, person_id: UUID) -> None:
    """Raises PersonNotFound unless the person is there and past `expires_at`."""
    async with changing(rooms.database, changes.lock_of_person(person_id)) as change:
        if not await persons.is_expired(change.connection, person_id):
            raise persons.missing(person_id)
        await _remove(change, caller, person_id, "person.expire")
    await rooms.sync.applied(change)


async def _remove(change: Change, caller: Caller, person_id: UUID, action: str) -> int:
    change.record = record_of(
        caller,
        action,
        collection=change.collection.name,
        person_ids=[person_id],
        revision=change.revision,
    )
    return await change.remove_person(person_id)


async def erase_face(rooms: Rooms, caller: Caller, face_id: UUID) -> Erased:
    """Raises EnrolledFaceNotFound. The person stays, also without any face."""
    async with changing(rooms.database, changes.lock_of_face(face_id)) as change:
        name = change.collection.name
        if not caller.sees(name):
            raise faces.missing(face_id)
        await change.remove_face(face_id)
        change.record = record_of(
            caller, "face.erase", collection=name, face_ids=[face_id], revision=change.revision
        )
    await rooms.sync.applied(change)
    hit("change.applied")
    return Erased(name, 0, 1, change.revision)


@dataclass(frozen=True, slots=True)
class ErasedFaces:
    """Which of the faces went; `kept` are those of users, with the user's external id."""

    gone: Sequence[UUID]
    kept: Mapping[UUID, str]
    revision: int


async def erase_faces(
    rooms: Rooms, caller: Caller, name: str, face_ids: Sequence[UUID]
) -> ErasedFaces:
    """Erase the faces of a collection whose persons have no external id, and persons of whom
    nothing is left then.

    Those of persons with one stay, as do those that are not there. Raises CollectionNotFound.
    """
    known_to(caller, name)
    async with changing(rooms.database, changes.lock_named(name)) as change:
        found = await users.owned(change.connection, change.collection.id, face_ids)
        there = [found[face_id] for face_id in face_ids if face_id in found]
        gone = [each.face.id for each in there if each.external_id is None]
        await change.remove_some(gone)
        await persons.remove_unnamed(change.connection, {each.face.person_id for each in there})
        change.record = record_of(
            caller, "face.erase", collection=name, face_ids=gone, revision=change.revision
        )
    await rooms.sync.applied(change)
    hit("change.applied")
    kept = {each.face.id: each.external_id for each in there if each.external_id is not None}
    return ErasedFaces(gone, kept, change.revision)


async def erase_collection(rooms: Rooms, caller: Caller, name: str) -> Erased:
    """Raises CollectionNotFound."""
    known_to(caller, name)
    async with rooms.database.transaction() as connection:
        await durability.require(connection)
        dropped = await collections.drop(connection, name)
        await changes.notify(connection, dropped.collection.id)
        record = record_of(
            caller,
            "collection.erase",
            collection=name,
            collection_id=dropped.collection.id,
            persons=dropped.persons,
            faces=dropped.faces,
        )
        await audit.append(connection, [(record.id, record.text())])
    rooms.sync.dropped(dropped.collection)
    return Erased(name, dropped.persons, dropped.faces, None)
