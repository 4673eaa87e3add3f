"""What tests of following do to a database: as the service does it, and behind its back."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import UUID

import asyncpg

from app.store import change as changes
from app.store import collections
from app.store.change import Change, changing, lock_or_make
from app.store.collections import Collection
from app.store.database import Database
from app.store.persons import NewPerson
from app.sync.follow import snapshot_path
from app.sync.index import CollectionIndex
from tests.service import VAULT
from tests.sync.test_oracle import FACE, MODEL, vectors

NAME = "people"


async def enrol(database: Database, seed: int, rows: int = 1, name: str = NAME) -> list[UUID]:
    """A new person with so many faces; the ids of the faces."""
    async with changing(database, lock_or_make(name)) as change:
        person = await change.add_person(NewPerson())
        return await change.add_faces(person, MODEL, [FACE] * rows, vectors(seed, rows))


async def erase_face(database: Database, face: UUID) -> None:
    async with changing(database, changes.lock_of_face(face)) as change:
        await change.remove_face(face)


async def enrol_secretly(database: Database, seed: int, name: str = NAME) -> list[UUID]:
    """As `enrol`, but without a revision: no follower can know."""
    async with database.transaction() as connection:
        change = Change(connection, await collections.lock(connection, name))
        person = await change.add_person(NewPerson())
        return await change.add_faces(person, MODEL, [FACE], vectors(seed, 1))


async def collection(database: Database, name: str = NAME) -> Collection:
    async with database.transaction() as connection:
        return await collections.get(connection, name)


async def index_of(database: Database, folder: Path, name: str = NAME) -> CollectionIndex:
    """An index that was not loaded yet."""
    found = await collection(database, name)
    return CollectionIndex(found, database, snapshot_path(folder, found))


async def sql(url: str, statement: str, *values: object) -> None:
    """Behind the service's back."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement, *values)
    finally:
        await connection.close()


def with_database(url: str, work: Callable[[Database], Awaitable[None]]) -> None:
    """Run `work` on a database of its own event loop."""

    async def run() -> None:
        database = Database(url, pool=4, vault=VAULT)
        try:
            await work(database)
        finally:
            await database.close()

    asyncio.run(run())
