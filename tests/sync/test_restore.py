"""The database is replaced by an older one while replicas run: they follow what it holds now."""

import asyncio
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from app.store import change as changes
from app.store import collections
from app.store.database import Database
from app.sync.follow import View
from app.sync.index import IndexBehind
from tests.backup import dump, restore
from tests.sync.people import NAME, collection, enrol, erase_face, with_database
from tests.sync.test_oracle import Replica
from tests.waiting import until


async def equal(replica: Replica, database: Database, faces: int) -> bool:
    """Whether a replica stands where PostgreSQL stands, by itself, and is right in all."""
    if not replica.sync.loaded:
        return False
    [index] = replica.sync.indexes
    if index.position != (await collection(database)).position or index.lag:
        return False
    audit = await index.audit()
    return audit.equal and audit.index.count == faces


def faces_of(view: View) -> set[UUID]:
    if view.selection is None:
        return set()
    state = view.selection.state
    return {UUID(bytes=row.tobytes()) for rows in state.rows() for row in rows.faces}


async def erase_collection(database: Database) -> None:
    async with database.transaction() as connection:
        dropped = await collections.drop(connection, NAME)
        await changes.notify(connection, dropped.collection.id)


def test_followers_drop_what_an_older_database_does_not_hold(
    database_url: str, tmp_path: Path
) -> None:
    async def work(database: Database) -> None:
        kept = [await enrol(database, seed, 2) for seed in range(3)]
        replicas = [Replica(database_url, tmp_path / str(number)) for number in range(3)]
        follower, sleeper, behind = replicas
        try:
            for replica in replicas:
                await until(partial(equal, replica, database, 6), "it did not load")
            await asyncio.to_thread(dump, database_url, tmp_path / "dump")
            await behind.sync.halt()  # at revision 3, which both histories have

            later = [await enrol(database, seed, 2) for seed in range(10, 14)]
            await erase_face(database, kept[0][0])
            for replica in (follower, sleeper):
                await until(partial(equal, replica, database, 13), "it did not follow")
            await sleeper.sync.halt()  # at revision 8 of a history that will not be

            await asyncio.to_thread(restore, database_url, tmp_path / "dump")
            await until(
                partial(equal, follower, database, 6), "it kept what the backup does not hold"
            )
            view = await follower.sync.view(NAME)
            assert view.revision == 3
            assert faces_of(view) == {face for faces in kept for face in faces}
            assert not faces_of(view) & {face for faces in later for face in faces}

            # Another history comes to the very revision that the sleeper has, and past it.
            new = [await enrol(database, seed, 1) for seed in range(20, 25)]
            assert (await collection(database)).position.revision == 8
            now = {face for faces in (*kept, *new) for face in faces}
            assert faces_of(await sleeper.sync.view(NAME)) != now
            assert faces_of(await sleeper.sync.view(NAME, min_revision=8)) == now
            assert faces_of(await behind.sync.view(NAME, min_revision=8)) == now
            with pytest.raises(IndexBehind):
                await sleeper.sync.view(NAME, min_revision=9, deadline=0.2)
            await until(partial(equal, follower, database, 11), "it lost the new history")
        finally:
            for replica in replicas:
                await replica.stop()

        # What they left on disk is no way back either.
        again = [Replica(database_url, tmp_path / str(number)) for number in range(3)]
        try:
            for replica in again:
                await until(partial(equal, replica, database, 11), "it came back wrong")
        finally:
            for replica in again:
                await replica.stop()

    with_database(database_url, work)


def test_a_revision_asked_for_is_one_of_the_history_of_today(
    database_url: str, tmp_path: Path
) -> None:
    """A replica that slept while it was restored has a higher revision, of a lost history."""

    async def work(database: Database) -> None:
        await enrol(database, 0)
        replica = Replica(database_url, tmp_path)
        try:
            await until(partial(equal, replica, database, 1), "it did not load")
            await asyncio.to_thread(dump, database_url, tmp_path / "dump")
            for seed in range(1, 4):
                await enrol(database, seed)
            await until(partial(equal, replica, database, 4), "it did not follow")
            await replica.sync.halt()
            await asyncio.to_thread(restore, database_url, tmp_path / "dump")
            [new] = await enrol(database, 9)
            view = await replica.sync.view(NAME, min_revision=2)
            assert view.revision == 2
            assert new in faces_of(view)
        finally:
            await replica.stop()

    with_database(database_url, work)


def test_a_revision_asked_for_is_one_of_the_collection_of_today(
    database_url: str, tmp_path: Path
) -> None:
    """A collection that was made again begins at revision 1; its namesake may have had more."""

    async def work(database: Database) -> None:
        for seed in range(5):
            await enrol(database, seed)
        replica = Replica(database_url, tmp_path)
        try:
            await until(partial(equal, replica, database, 5), "it did not load")
            await replica.sync.halt()
            await erase_collection(database)
            [new] = await enrol(database, 9)
            view = await replica.sync.view(NAME, min_revision=1)
            assert view.revision == 1
            assert faces_of(view) == {new}
        finally:
            await replica.stop()

    with_database(database_url, work)
