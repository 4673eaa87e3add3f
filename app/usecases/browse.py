"""Look at what is enrolled, and edit what is said of a person."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from app.store import collections, durability, persons
from app.store.collections import Census
from app.store.persons import EnrolledFace, Page
from app.types import Person
from app.usecases.rooms import Rooms


async def make_collection(rooms: Rooms, name: str) -> Census:
    """Raises CollectionExists."""
    async with rooms.database.transaction() as connection:
        await durability.require(connection)
        return Census(await collections.create(connection, name), 0, 0)


async def collection(rooms: Rooms, name: str) -> Census:
    """Raises CollectionNotFound."""
    async with rooms.database.transaction() as connection:
        found = await collections.census(connection, name=name)
    if not found:
        raise collections.missing(name)
    return found[0]


async def collection_page(rooms: Rooms, after: str, limit: int) -> Sequence[Census]:
    """At most `limit` collections by name, those after `after`."""
    async with rooms.database.transaction() as connection:
        return await collections.census(connection, after=after, limit=limit)


async def person_page(
    rooms: Rooms,
    name: str,
    *,
    after: int,
    limit: int,
    external_id: str | None,
    person_name: str | None,
) -> Page:
    """Persons of a collection in order of enrolment. Raises CollectionNotFound."""
    async with rooms.database.transaction() as connection:
        home = await collections.get(connection, name)
        return await persons.page(
            connection,
            home.id,
            after=after,
            limit=limit,
            external_id=external_id,
            name=person_name,
        )


async def person(rooms: Rooms, person_id: UUID) -> Person:
    """Raises PersonNotFound."""
    async with rooms.database.transaction() as connection:
        return await persons.get(connection, person_id)


async def edit_person(rooms: Rooms, person_id: UUID, values: Mapping[str, Any]) -> Person:
    """Set name, external_id or metadata. Raises PersonNotFound, ExternalIdTaken."""
    async with rooms.database.transaction() as connection:
        await durability.require(connection)
        return await persons.edit(connection, person_id, values)


async def faces(rooms: Rooms, person_id: UUID) -> list[EnrolledFace]:
    """The faces of a person in order of enrolment. Raises PersonNotFound."""
    async with rooms.database.transaction() as connection:
        return await persons.faces_of(connection, person_id)
