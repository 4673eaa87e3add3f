"""Look at what is enrolled, and edit what is said of a person."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from app.store import audit, collections, crops, durability, faces, persons
from app.store.audit import record_of
from app.store.collections import Census
from app.store.faces import EnrolledFace
from app.store.persons import Page
from app.types import Caller, Person
from app.usecases.looking import known_to
from app.usecases.rooms import Rooms


async def make_collection(rooms: Rooms, caller: Caller, name: str) -> Census:
    """Raises CollectionExists; CollectionNotFound where the caller may have none of that name."""
    known_to(caller, name)
    record = record_of(caller, "collection.make", collection=name)
    async with rooms.database.transaction() as connection:
        await durability.require(connection)
        made = Census(await collections.create(connection, name), 0, 0)
        await audit.append(connection, [(record.id, record.text())])
    return made


async def collection(rooms: Rooms, caller: Caller, name: str) -> Census:
    """Raises CollectionNotFound."""
    known_to(caller, name)
    async with rooms.database.transaction() as connection:
        found = await collections.census(connection, name=name)
    if not found:
        raise collections.missing(name)
    return found[0]


async def collection_page(rooms: Rooms, caller: Caller, after: str, limit: int) -> Sequence[Census]:
    """At most `limit` collections by name, those after `after` that the caller may know of."""
    async with rooms.database.transaction() as connection:
        return await collections.census(
            connection, after=after, limit=limit, among=caller.collections
        )


async def person_page(
    rooms: Rooms,
    caller: Caller,
    name: str,
    *,
    after: int,
    limit: int,
    external_id: str | None,
    person_name: str | None,
) -> Page:
    """Persons of a collection in order of enrolment. Raises CollectionNotFound."""
    known_to(caller, name)
    async with rooms.database.transaction() as connection:
        home = await collections.get(connection, name)
        page = await persons.page(
            connection,
            home.id,
            after=after,
            limit=limit,
            external_id=external_id,
            name=person_name,
        )
    await rooms.journal.write(
        record_of(caller, "person.list", collection=name, persons=len(page.persons))
    )
    return page


async def person(rooms: Rooms, caller: Caller, person_id: UUID) -> Person:
    """Raises PersonNotFound."""
    async with rooms.database.transaction() as connection:
        found = await persons.get(connection, person_id)
    _belongs_to(caller, found)
    await _looked_at(rooms, caller, "person.read", found)
    return found


async def edit_person(
    rooms: Rooms, caller: Caller, person_id: UUID, values: Mapping[str, Any]
) -> Person:
    """Set name, external_id, metadata, consent or expires_at.

    Raises PersonNotFound, ExternalIdTaken.
    """
    async with rooms.database.transaction() as connection:
        await durability.require(connection)
        _belongs_to(caller, await persons.get(connection, person_id))
        edited = await persons.edit(connection, person_id, values)
        record = record_of(
            caller,
            "person.edit",
            collection=edited.collection,
            person_ids=[person_id],
            fields=sorted(values),
        )
        await audit.append(connection, [(record.id, record.text())])
    return edited


async def faces_of(rooms: Rooms, caller: Caller, person_id: UUID) -> list[EnrolledFace]:
    """The faces of a person in order of enrolment. Raises PersonNotFound."""
    async with rooms.database.transaction() as connection:
        owner = await persons.get(connection, person_id)
        _belongs_to(caller, owner)
        found = await faces.of_person(connection, person_id)
    await _looked_at(rooms, caller, "person.faces", owner)
    return found


async def face(rooms: Rooms, caller: Caller, face_id: UUID) -> tuple[str, EnrolledFace]:
    """The name of the collection it is in, and a face. Raises EnrolledFaceNotFound."""
    async with rooms.database.transaction() as connection:
        home = await faces.home_of(connection, face_id)
        if not caller.sees(home):
            raise faces.missing(face_id)
        found = await faces.get(connection, face_id)
    await rooms.journal.write(record_of(caller, "face.read", collection=home, face_ids=[face_id]))
    return home, found


async def face_page(
    rooms: Rooms, caller: Caller, name: str, *, after: int, limit: int, skip: int = 0
) -> faces.Page:
    """Faces of a collection in order of enrolment. Raises CollectionNotFound."""
    known_to(caller, name)
    async with rooms.database.transaction() as connection:
        home = await collections.get(connection, name)
        page = await faces.page(connection, home.id, after=after, limit=limit, skip=skip)
    await rooms.journal.write(
        record_of(caller, "face.list", collection=name, faces=len(page.faces))
    )
    return page


async def crop(rooms: Rooms, caller: Caller, face_id: UUID) -> bytes:
    """The kept crop of a face as PNG. Raises EnrolledFaceNotFound, CropNotKept."""
    async with rooms.database.transaction() as connection:
        home = await faces.home_of(connection, face_id)
        if not caller.sees(home):
            raise faces.missing(face_id)
        picture = await crops.get(connection, face_id)
    await rooms.journal.write(record_of(caller, "face.crop", collection=home, face_ids=[face_id]))
    return picture


def _belongs_to(caller: Caller, person: Person) -> None:
    """Raises PersonNotFound for a person of a collection that the caller may not know of."""
    if not caller.sees(person.collection):
        raise persons.missing(person.id)


async def _looked_at(rooms: Rooms, caller: Caller, action: str, person: Person) -> None:
    await rooms.journal.write(
        record_of(caller, action, collection=person.collection, person_ids=[person.id])
    )
