"""A snapshot that is damaged, or of another history, is not believed: PostgreSQL is read."""

from pathlib import Path
from typing import Final

from app.store.database import Database
from app.sync.index import CollectionIndex
from tests.damage import damaged
from tests.sync.people import enrol, index_of, sql, with_database

COUNT: Final = 48


async def is_right(index: CollectionIndex, templates: int) -> bool:
    audit = await index.audit()
    return audit.equal and audit.index.count == templates


def test_damaged_snapshots_are_rebuilt_and_never_believed(
    database_url: str, tmp_path: Path
) -> None:
    async def work(database: Database) -> None:
        for seed in range(12):
            await enrol(database, seed, 3)
        index = await index_of(database, tmp_path)
        await index.catch_up()
        await index.save()
        path = index.snapshot
        whole = path.read_bytes()

        fresh = await index_of(database, tmp_path)
        await fresh.catch_up()
        assert fresh.snapshot_fault is None, "the snapshot is believed where it is whole"

        for what, body in damaged(whole, COUNT, seed=2):
            path.write_bytes(body)
            fresh = await index_of(database, tmp_path)
            await fresh.catch_up()
            assert fresh.snapshot_fault is not None, what
            assert await is_right(fresh, 36), what

        await fresh.save()
        again = await index_of(database, tmp_path)
        await again.catch_up()
        assert again.snapshot_fault is None, "a rebuilt index leaves a good snapshot"
        assert await is_right(again, 36)

    with_database(database_url, work)


def test_a_snapshot_of_a_history_that_parted_is_not_believed(
    database_url: str, tmp_path: Path
) -> None:
    """The revision is right, what led to it is not: as after a restore of a backup."""

    async def work(database: Database) -> None:
        await enrol(database, 0, 2)
        index = await index_of(database, tmp_path)
        await index.catch_up()
        await index.save()
        await sql(database_url, "UPDATE collections SET digest = sha256('another history')")
        await sql(database_url, "UPDATE changes SET digest = sha256('another history')")
        fresh = await index_of(database, tmp_path)
        await fresh.catch_up()
        assert "history" in (fresh.snapshot_fault or "")
        assert await is_right(fresh, 2)

    with_database(database_url, work)
