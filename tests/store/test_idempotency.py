"""A key is worked on by one at a time, taken over when its holder died, and answered once."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import uuid4

import pytest

from app.store import collections, idempotency, persons
from app.store.database import Database
from app.store.errors import KeyInFlight, KeyReused
from app.store.idempotency import Reservation
from app.store.persons import NewPerson


def run(url: str, work: Callable[[Database], Awaitable[None]]) -> None:
    async def inside() -> None:
        database = Database(url, pool=2)
        try:
            await work(database)
        finally:
            await database.close()

    asyncio.run(inside())


async def reserve(database: Database, fingerprint: bytes, lease: float) -> Reservation:
    async with database.transaction() as connection:
        found = await idempotency.reserve(connection, "key", fingerprint, lease)
    assert isinstance(found, Reservation)
    return found


async def fulfil(database: Database, reservation: Reservation) -> None:
    async with database.transaction() as connection:
        name = uuid4().hex
        collection = await collections.create(connection, name)
        person = uuid4()
        await persons.add(connection, collection.id, person, NewPerson())
        await idempotency.fulfil(connection, reservation, {"person": str(person)}, person)


def test_a_key_in_flight_waits_and_a_reused_one_is_refused(database_url: str) -> None:
    async def work(database: Database) -> None:
        await reserve(database, b"one", lease=60)
        with pytest.raises(KeyInFlight):
            await reserve(database, b"one", lease=60)
        with pytest.raises(KeyReused):
            await reserve(database, b"two", lease=60)

    run(database_url, work)


def test_a_lease_that_ran_out_is_taken_over_and_the_late_holder_cannot_commit(
    database_url: str,
) -> None:
    async def work(database: Database) -> None:
        late = await reserve(database, b"one", lease=0)
        with pytest.raises(KeyReused):
            await reserve(database, b"two", lease=60)
        taken_over = await reserve(database, b"one", lease=60)
        with pytest.raises(KeyInFlight):
            await fulfil(database, late)
        await fulfil(database, taken_over)
        async with database.transaction() as connection:
            assert len(await collections.heads(connection)) == 1, "the late change was rolled back"
            answer = await idempotency.reserve(connection, "key", b"one", 60)
        assert not isinstance(answer, Reservation)
        assert set(answer) == {"person"}

    run(database_url, work)


def test_a_key_that_was_given_up_is_free_at_once(database_url: str) -> None:
    async def work(database: Database) -> None:
        given_up = await reserve(database, b"one", lease=60)
        async with database.transaction() as connection:
            await idempotency.release(connection, given_up)
        await reserve(database, b"two", lease=60)

    run(database_url, work)


def test_what_dead_processes_reserved_is_given_up_and_what_was_answered_stays(
    database_url: str,
) -> None:
    async def work(database: Database) -> None:
        await fulfil(database, await reserve(database, b"first", 60))
        async with database.transaction() as connection:
            await idempotency.reserve(connection, "other", b"second", 60)
        async with database.transaction() as connection:
            await idempotency.release_all(connection)
            again = await idempotency.reserve(connection, "other", b"third", 60)
            answer = await idempotency.reserve(connection, "key", b"first", 60)
        assert isinstance(again, Reservation)
        assert not isinstance(answer, Reservation)

    run(database_url, work)
