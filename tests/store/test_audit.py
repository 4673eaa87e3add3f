"""The chain of the audit record: what follows it shows, and what the database refuses."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.store import audit
from app.store.audit import Walk, record_of
from app.store.database import Database
from app.types import Caller
from tests.store.test_migrations import with_database

SOMEBODY = Caller("0123456789abcdef", frozenset(), None, "request")
UNGUARDED = "ALTER TABLE audit DISABLE TRIGGER USER"


def some(count: int) -> list[Any]:
    records = [record_of(SOMEBODY, "identify", faces=[[uuid4()]]) for _ in range(count)]
    return [(record.id, record.text()) for record in records]


async def append(database: Database, records: list[Any]) -> None:
    async with database.transaction() as connection:
        await audit.append(connection, records)


async def execute(database: Database, *statements: str) -> None:
    async with database.transaction() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def walk(database: Database) -> tuple[Walk, str | None]:
    way = Walk()
    async with database.snapshot() as connection:
        async for link in audit.links(connection):
            if fault := way.take(link):
                return way, fault
    return way, None


def test_records_are_chained_without_a_gap_however_many_append(database_url: str) -> None:
    async def work(database: Database) -> None:
        await asyncio.gather(*(append(database, some(3)) for _ in range(20)))
        way, fault = await walk(database)
        assert (way.first, way.last, fault) == (1, 60, None)

    with_database(database_url, work)


def test_a_record_that_is_handed_in_twice_stands_once(database_url: str) -> None:
    async def work(database: Database) -> None:
        records = some(3)
        await append(database, records)
        await append(database, records + some(1) + records)
        assert (await walk(database))[0].last == 4

    with_database(database_url, work)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET record = '{}' WHERE sequence = 1",
        "DELETE FROM audit WHERE sequence = 1",
        "TRUNCATE audit",
    ],
)
def test_the_database_itself_refuses_to_change_or_remove_records(
    database_url: str, statement: str
) -> None:
    async def work(database: Database) -> None:
        await append(database, some(2))
        with pytest.raises(DBAPIError, match="append-only"):
            await execute(database, statement)

    with_database(database_url, work)


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        (
            "UPDATE audit SET record = replace(record, 'identify', 'verify') WHERE sequence = 2",
            "record 2 was changed",
        ),
        ("DELETE FROM audit WHERE sequence = 3", "record 3 is missing"),
        ("DELETE FROM audit WHERE sequence = 1", "a chain without its beginning"),
        (
            "UPDATE audit SET id = gen_random_uuid(), record = (SELECT record FROM audit "
            "WHERE sequence = 1) WHERE sequence = 2",
            "record 2 was changed",
        ),
        ("UPDATE audit SET digest = sha256(digest) WHERE sequence = 2", "record 2 was changed"),
        (
            "UPDATE audit SET parent = sha256(parent) WHERE sequence = 4",
            "record 4 does not follow the one before it",
        ),
        (
            "UPDATE audit SET sequence = sequence + 10 WHERE sequence > 3",
            "record 4 is missing",
        ),
    ],
)
def test_what_an_owner_of_the_database_does_is_seen(
    database_url: str, statement: str, fault: str
) -> None:
    async def work(database: Database) -> None:
        await append(database, some(5))
        assert (await walk(database))[1] is None
        await execute(database, UNGUARDED, statement)
        way, found = await walk(database)
        if "beginning" in fault:  # as after a prune; who kept the head sees where it begins
            assert (way.first, found) == (2, None)
        else:
            assert found == fault

    with_database(database_url, work)
