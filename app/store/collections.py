"""Collections as rows: made, listed, read and dropped, inside a transaction of the caller."""

from collections.abc import Collection as Some
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Row, Select, delete, func, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store import tables
from app.store.database import Database
from app.store.errors import CollectionExists, CollectionNotFound
from app.types import Position

_c = tables.collections.c


@dataclass(frozen=True, slots=True)
class Collection:
    """A named gallery. `model` is None until the first enrolment."""

    id: UUID
    name: str
    model: str | None
    position: Position
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Census:
    """A collection and how many it holds."""

    collection: Collection
    persons: int
    faces: int


_SEEN: Final = "SELECT id, name, model, revision, digest, created_at FROM collections"


def _from_record(record: Any) -> Collection:
    id_, name, model, revision, digest, created_at = record
    return Collection(id_, name, model, Position(revision, digest), created_at)


def beginning(collection_id: UUID) -> Position:
    """Revision 0. Its digest comes from the id, so no two collections ever share a history."""
    return Position(0, sha256(b"rollcall" + collection_id.bytes).digest())


def read(row: Row[Any]) -> Collection:
    return Collection(
        row.id, row.name, row.model, Position(row.revision, row.digest), row.created_at
    )


async def create(connection: AsyncConnection, name: str) -> Collection:
    """A new, empty collection. Raises CollectionExists."""
    made = await ensure(connection, name)
    if made is None:
        raise CollectionExists(f"There is a collection '{name}' already.", collection=name)
    return made


async def ensure(connection: AsyncConnection, name: str) -> Collection | None:
    """Make the collection unless it is there; None when it was."""
    collection_id = uuid4()
    start = beginning(collection_id)
    row = (
        await connection.execute(
            upsert(tables.collections)
            .values(id=collection_id, name=name, revision=start.revision, digest=start.digest)
            .on_conflict_do_nothing(index_elements=[_c.name])
            .returning(tables.collections)
        )
    ).one_or_none()
    return None if row is None else read(row)


async def find(connection: AsyncConnection, name: str) -> Collection | None:
    row = (await connection.execute(_by_name(name))).one_or_none()
    return None if row is None else read(row)


async def find_by_id(connection: AsyncConnection, collection_id: UUID) -> Collection | None:
    query = select(tables.collections).where(_c.id == collection_id)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else read(row)


async def get_by_id(connection: AsyncConnection, collection_id: UUID, name: str) -> Collection:
    """The collection of that id, which was called `name`. Raises CollectionNotFound."""
    found = await find_by_id(connection, collection_id)
    if found is None:
        raise missing(name)
    return found


async def get(connection: AsyncConnection, name: str) -> Collection:
    """Raises CollectionNotFound."""
    found = await find(connection, name)
    if found is None:
        raise missing(name)
    return found


async def lock(connection: AsyncConnection, name: str) -> Collection:
    """The collection, its row locked until the transaction ends. Raises CollectionNotFound."""
    row = (await connection.execute(_by_name(name).with_for_update())).one_or_none()
    if row is None:
        raise missing(name)
    return read(row)


async def lock_by_id(connection: AsyncConnection, collection_id: UUID) -> Collection | None:
    query = select(tables.collections).where(_c.id == collection_id).with_for_update()
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else read(row)


async def heads(connection: AsyncConnection) -> Sequence[Collection]:
    """Every collection with the end of its history, by name."""
    rows = await connection.execute(select(tables.collections).order_by(_c.name))
    return [read(row) for row in rows]


async def seen(database: Database) -> Sequence[Collection]:
    """As `heads`, in one roundtrip: followers ask every second. Raises DatabaseUnavailable."""
    return [_from_record(row) for row in await database.fetch(f"{_SEEN} ORDER BY name")]


async def look(database: Database, name: str) -> Collection | None:
    """As `find`, in one roundtrip. Raises DatabaseUnavailable."""
    rows = await database.fetch(f"{_SEEN} WHERE name = $1", name)
    return _from_record(rows[0]) if rows else None


async def census(
    connection: AsyncConnection,
    *,
    name: str | None = None,
    after: str = "",
    limit: int = 1,
    among: Some[str] | None = None,
) -> Sequence[Census]:
    """Collections with their counts, by name: the one of that name, or a page after `after`.

    `among` leaves out every other name.
    """
    page = select(tables.collections).order_by(_c.name).limit(limit)
    page = page.where(_c.name == name) if name is not None else page.where(_c.name > after)
    if among is not None:
        page = page.where(_c.name.in_(among))
    rows = (await connection.execute(page)).all()
    persons = await _counts(connection, rows, tables.persons.c.collection_id)
    faces = await _counts(connection, rows, tables.faces.c.collection_id)
    return [Census(read(row), persons.get(row.id, 0), faces.get(row.id, 0)) for row in rows]


async def drop(connection: AsyncConnection, name: str) -> Census:
    """Erase the collection and everything in it; what it held. Raises CollectionNotFound."""
    await lock(connection, name)
    [held] = await census(connection, name=name)
    await connection.execute(delete(tables.collections).where(_c.id == held.collection.id))
    return held


async def bind(
    connection: AsyncConnection, collection: Collection, model: str, dimension: int
) -> None:
    """Let `model` answer for a collection that has none yet. The row must be locked."""
    await connection.execute(
        insert(tables.collection_models).values(
            collection_id=collection.id, model=model, dimension=dimension
        )
    )
    await connection.execute(
        tables.collections.update().where(_c.id == collection.id).values(model=model)
    )


def missing(name: str) -> CollectionNotFound:
    return CollectionNotFound(
        f"There is no collection '{name}'. GET /collections lists those there are.",
        collection=name,
    )


def _by_name(name: str) -> Select[Any]:
    return select(tables.collections).where(_c.name == name)


async def _counts(
    connection: AsyncConnection, rows: Sequence[Row[Any]], column: Any
) -> dict[UUID, int]:
    query = (
        select(column, func.count(text("*")))
        .where(column.in_([row.id for row in rows]))
        .group_by(column)
    )
    return {row[0]: row[1] for row in await connection.execute(query)}
