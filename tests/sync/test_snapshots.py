"""Snapshots of collections that were erased while nobody followed are removed at the start."""

import asyncio
from pathlib import Path
from uuid import uuid4

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
