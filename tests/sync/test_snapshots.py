"""When snapshots are written, and when they go."""

import asyncio
import threading
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from app.gallery.snapshot import write_snapshot
from app.store.database import Database
from app.sync import index as sync_index
from tests.sync.people import enrol, erase_face, index_of, with_database
from tests.sync.test_oracle import Replica


def test_a_snapshot_of_a_collection_that_is_gone_does_not_survive_the_start(
    database_url: str, tmp_path: Path
) -> None:
    orphan = tmp_path / f"{uuid4()}.snapshot"
    unfinished = tmp_path / f".{orphan.name}.partial-0123456789abcdef"
    for path in (orphan, unfinished):
        path.write_bytes(b"templates of somebody who was erased")

    async def work() -> None:
        replica = Replica(database_url, tmp_path)
        while not replica.sync.loaded:
            await asyncio.sleep(0.01)
        await replica.stop()

    asyncio.run(work())
    assert list(tmp_path.iterdir()) == []


def test_changes_are_followed_while_a_snapshot_is_written_and_none_keeps_who_was_erased(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_is_ready = threading.Event()

    def on_a_slow_disk(*given: Any, **named: Any) -> None:
        disk_is_ready.wait(30)
        write_snapshot(*given, **named)

    monkeypatch.setattr(sync_index, "write_snapshot", on_a_slow_disk)

    async def work(database: Database) -> None:
        [face] = await enrol(database, seed=1)
        index = await index_of(database, tmp_path)
        await index.catch_up()
        for change in (enrol(database, seed=2), erase_face(database, face)):
            disk_is_ready.clear()
            saving = asyncio.create_task(index.save())
            await asyncio.sleep(0.05)
            await change
            await index.catch_up()
            assert not saving.done() and index.stands
            disk_is_ready.set()
            await saving
            assert index.snapshot.exists() is (index.revision == 2)
        await index.save()
        again = await index_of(database, tmp_path)
        await again.catch_up()
        assert again.snapshot_fault is None and again.state is not None
        assert again.state.size == 1

    with_database(database_url, work)
