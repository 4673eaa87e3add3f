"""A collection that was filled for a benchmark is one that the service could have enrolled."""

from pathlib import Path

import numpy as np

from app.store.database import Database
from benchmarks.filling import BATCH, fill, members
from tests.sync.people import MODEL, enrol, index_of, with_database

COUNT = BATCH + 50
DIMENSION = 8


def test_what_was_filled_loads_audits_equal_and_goes_on_from_its_snapshot(
    database_url: str, tmp_path: Path
) -> None:
    async def work(database: Database) -> None:
        await fill(database, "people", MODEL, DIMENSION, COUNT, seed=3)
        index = await index_of(database, tmp_path)
        await index.catch_up()
        assert index.state is not None and index.state.persons() == COUNT
        assert (await index.audit()).equal
        await index.save()
        await enrol(database, seed=1)
        again = await index_of(database, tmp_path)
        await again.catch_up()
        assert again.snapshot_fault is None
        assert again.state is not None and again.state.size == COUNT + 1
        assert (await again.audit()).equal

    with_database(database_url, work)


def test_a_smaller_gallery_is_the_beginning_of_a_larger_one() -> None:
    small, large = list(members(0, 20, DIMENSION)), list(members(0, 30, DIMENSION))
    for less, more in zip(small[0], large[0], strict=True):
        np.testing.assert_array_equal(less, more[:20])
