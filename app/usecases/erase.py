"""Take faces, persons and collections away, from PostgreSQL, index and snapshot."""

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from app.failpoints import hit
from app.store import change as changes
from app.store import collections, durability
from app.store.change import changing
from app.usecases.rooms import Rooms


@dataclass(frozen=True, slots=True)
class Erased:
    """What went. `revision` is None where the whole collection did."""

    collection: str
    persons: int
    faces: int
    revision: int | None


async def erase_person(rooms: Rooms, person_id: UUID) -> Erased:
    """Raises PersonNotFound."""
    lock = partial(changes.lock_of_person, person_id=person_id)
    async with changing(rooms.database, lock) as change:
        faces = await change.remove_person(person_id)
    await rooms.sync.applied(change.collection, change.revision)
    hit("change.applied")
    return Erased(change.collection.name, 1, faces, change.revision)


async def erase_face(rooms: Rooms, face_id: UUID) -> Erased:
    """Raises EnrolledFaceNotFound. The person stays, also without any face."""
    lock = partial(changes.lock_of_face, face_id=face_id)
    async with changing(rooms.database, lock) as change:
        await change.remove_face(face_id)
    await rooms.sync.applied(change.collection, change.revision)
    hit("change.applied")
    return Erased(change.collection.name, 0, 1, change.revision)


async def erase_collection(rooms: Rooms, name: str) -> Erased:
    """Raises CollectionNotFound."""
    async with rooms.database.transaction() as connection:
        await durability.require(connection)
        dropped = await collections.drop(connection, name)
        await changes.notify(connection, dropped.collection.id)
    rooms.sync.dropped(dropped.collection)
    return Erased(name, dropped.persons, dropped.faces, None)
