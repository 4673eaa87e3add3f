"""Say that faces are another person's: merge persons that are one, move faces that lie wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.failpoints import hit
from app.store import change as changes
from app.store import faces, persons
from app.store.audit import record_of
from app.store.change import Change, changing
from app.store.persons import NewPerson
from app.types import Caller, Person
from app.usecases.rooms import Rooms


@dataclass(frozen=True, slots=True)
class Moved:
    """The person as it is now, which faces came to it, and how many persons went."""

    person: Person
    face_ids: Sequence[UUID]
    merged: int
    revision: int


async def merge_persons(rooms: Rooms, caller: Caller, into: UUID, others: Sequence[UUID]) -> Moved:
    """Give all faces of `others` to the person `into`, and erase `others`, in one change.

    What is said of `into` stays as it is. All must be of one collection. Raises PersonNotFound.
    """
    async with changing(rooms.database, changes.lock_of_person(into)) as change:
        if not caller.sees(change.collection.name):
            raise persons.missing(into)
        face_ids = [
            face_id for other in others for face_id in await change.merge_person(other, into)
        ]
        change.record = record_of(
            caller,
            "person.merge",
            collection=change.collection.name,
            person_ids=[into, *others],
            face_ids=face_ids,
            revision=change.revision,
        )
        person = await persons.get(change.connection, into)
    return await _applied(rooms, change, person, face_ids, merged=len(others))


async def move_faces(
    rooms: Rooms, caller: Caller, face_ids: Sequence[UUID], to: UUID | NewPerson
) -> Moved:
    """Give enrolled faces, all of one collection, to a person there, or to a new one.

    Whoever they were taken from stays, also without any face. Raises EnrolledFaceNotFound,
    PersonNotFound, ExternalIdTaken.
    """
    async with changing(rooms.database, changes.lock_of_face(face_ids[0])) as change:
        if not caller.sees(change.collection.name):
            raise faces.missing(face_ids[0])
        person_id = await change.add_person(to) if isinstance(to, NewPerson) else to
        await change.move_faces(face_ids, person_id)
        change.record = record_of(
            caller,
            "face.move",
            collection=change.collection.name,
            person_ids=[person_id],
            face_ids=face_ids,
            revision=change.revision,
        )
        person = await persons.get(change.connection, person_id)
    return await _applied(rooms, change, person, face_ids, merged=0)


async def _applied(
    rooms: Rooms, change: Change, person: Person, face_ids: Sequence[UUID], *, merged: int
) -> Moved:
    """Once this process's index shows it."""
    await rooms.sync.applied(change)
    hit("change.applied")
    return Moved(person, face_ids, merged, change.revision)
