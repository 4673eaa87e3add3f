"""While following is held back, lag and silence say so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import monotonic

import asyncpg

from app.store.change import changing, lock_or_make
from app.store.database import Database
from app.store.persons import NewPerson
from tests.sync.people import NAME, enrol, with_database
from tests.sync.test_oracle import Replica
from tests.sync.test_restore import equal
from tests.waiting import until


@asynccontextmanager
async def locked(url: str, table: str) -> AsyncIterator[None]:
    """Nobody else may even read the table."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


def test_lag_grows_while_following_is_held_back_and_goes_when_it_is_not(
    database_url: str, tmp_path: Path
) -> None:
    async def work(database: Database) -> None:
        await enrol(database, 0)
        await enrol(database, 0, name="others")
        replica = Replica(database_url, tmp_path)

        async def stands(*lags: int) -> bool:
            return [index.lag for index in replica.sync.indexes] == list(lags)

        async def loaded() -> bool:
            return replica.sync.loaded

        try:
            await until(loaded, "it did not load")
            assert await stands(0, 0)
            async with locked(database_url, "templates"):
                # A person without a face, so that the change itself touches no template.
                for number in range(1, 4):
                    async with changing(database, lock_or_make(NAME)) as change:
                        await change.add_person(NewPerson())
                    await until(lambda n=number: stands(0, n), "lag was not seen to grow")
                async with changing(database, lock_or_make("others")) as change:
                    await change.add_person(NewPerson())
                await until(lambda: stands(1, 3), "the lag of the other collection was not seen")
                assert replica.sync.silence < 5, "it was PostgreSQL that told how far behind"
            await until(lambda: stands(0, 0), "it did not catch up")
            assert [index.revision for index in replica.sync.indexes] == [2, 4]
        finally:
            await replica.stop()

    with_database(database_url, work)


def test_silence_grows_while_postgresql_does_not_answer(database_url: str, tmp_path: Path) -> None:
    async def work(database: Database) -> None:
        replica = Replica(database_url, tmp_path)

        async def quiet() -> bool:
            return replica.sync.silence < 1

        try:
            assert replica.sync.silence == float("inf")
            await until(quiet, "it never heard from PostgreSQL")
            async with locked(database_url, "collections"):
                began = monotonic()
                await asyncio.sleep(3)
                assert replica.sync.silence > 2.5
                assert replica.sync.silence < monotonic() - began + 2
            await until(quiet, "it did not get back in touch")
        finally:
            await replica.stop()

    with_database(database_url, work)


def test_what_was_not_notified_is_seen_by_the_poll(database_url: str, tmp_path: Path) -> None:
    async def work(database: Database) -> None:
        await enrol(database, 0)
        replica = Replica(database_url, tmp_path)
        try:
            await until(partial(equal, replica, database, 1), "it did not load")
            [listening] = [loop for loop in replica.sync._loops if loop.get_name() == "_listen"]
            listening.cancel()
            await asyncio.wait([listening])
            await enrol(database, 1, 2)
            index = replica.sync.indexes[0]

            async def moved() -> bool:
                return index.revision == 2

            await until(moved, "only a notification moves it")
        finally:
            await replica.stop()

    with_database(database_url, work)
