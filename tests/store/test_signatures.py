"""A signature is used once, whoever asks, and forgotten when it could not be used any more."""

import asyncio
from datetime import UTC, datetime, timedelta

from app.store import signatures
from app.store.database import Database
from app.store.signatures import Used

LATER = datetime.now(UTC) + timedelta(minutes=15)


def test_one_of_many_is_the_first_and_all_others_hear_of_it(database_url: str) -> None:
    async def work() -> None:
        database = Database(database_url, pool=8)

        async def use(attempt: str) -> Used | None:
            async with database.transaction() as connection:
                return await signatures.use(connection, b"signature", attempt, LATER)

        try:
            found = await asyncio.gather(*(use(str(number)) for number in range(8)))
            assert found.count(None) == 1
            first = str(found.index(None))
            assert {used.attempt for used in found if used is not None} == {first}
            assert all(0 <= used.seconds < 60 for used in found if used is not None)
        finally:
            await database.close()

    asyncio.run(work())


def test_only_what_is_too_old_to_be_taken_is_forgotten(database_url: str) -> None:
    async def work() -> None:
        database = Database(database_url, pool=2)
        past = datetime.now(UTC) - timedelta(seconds=1)
        try:
            async with database.transaction() as connection:
                assert await signatures.use(connection, b"old", None, past) is None
                assert await signatures.use(connection, b"new", None, LATER) is None
            async with database.transaction() as connection:
                assert await signatures.sweep(connection) == 1
                assert await signatures.use(connection, b"old", None, LATER) is None
                assert await signatures.use(connection, b"new", None, LATER) is not None
        finally:
            await database.close()

    asyncio.run(work())
