"""An index of compressed rows follows PostgreSQL, and comes back from its snapshot, bit for bit."""

from pathlib import Path

import pytest

from app.gallery import compiled
from app.gallery.storage import Format, Storage
from app.store.database import Database
from app.sync.follow import snapshot_path
from app.sync.index import CollectionIndex

from .people import collection, enrol, erase_face, index_of, with_database

pytestmark = pytest.mark.skipif(
    not compiled.built(), reason="the compiled scan kernels are not built: make builds them"
)


@pytest.mark.parametrize("form", ["float16", "int8"])
def test_compressed_rows_follow_the_database_and_fill_a_snapshot(
    database_url: str, tmp_path: Path, form: Format
) -> None:
    async def work(database: Database) -> None:
        storage = Storage(form, tmp_path / "scratch")
        faces = await enrol(database, 1, 40)
        found = await collection(database)
        path = snapshot_path(tmp_path, found)
        index = CollectionIndex(found, database, path, storage)
        await index.catch_up()
        await enrol(database, 2, 5)
        await erase_face(database, faces[7])
        await index.catch_up()
        plain = await index_of(database, tmp_path / "elsewhere")
        await plain.catch_up()
        assert index.state is not None
        assert plain.state is not None
        assert index.state.checksum() == plain.state.checksum()
        await index.save()
        again = CollectionIndex(found, database, path, storage)
        await again.catch_up()
        assert again.snapshot_fault is None
        assert again.state is not None
        assert again.state.checksum() == plain.state.checksum()
        assert list((tmp_path / "scratch").iterdir()) == []

    with_database(database_url, work)
