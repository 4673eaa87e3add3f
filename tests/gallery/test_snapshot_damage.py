"""A thousand damaged snapshots: each is refused, none is ever believed."""

from pathlib import Path

import numpy as np
import pytest

from app.gallery.index import Gallery
from app.gallery.snapshot import Snapshot, SnapshotUnusable, read_snapshot, write_snapshot
from app.types import Position
from app.vault import DataKey, KeyName
from tests.damage import damaged

from .oracle import change, directions, holds, uuids

COUNT = 1000
KEY = DataKey(KeyName("collection", bytes(16), 3), bytes(range(32)))
FACES = 90
KEY = DataKey(KeyName("collection", bytes(16), 1), bytes(range(32)))


class Kept:
    """A snapshot on disk of templates that the test knows, and the way to read it."""

    def __init__(self, path: Path) -> None:
        generator = np.random.default_rng(5)
        faces = uuids(generator, FACES)
        vectors = directions(generator, FACES, 16)
        self.path = path
        self.templates = dict(zip(faces, zip(faces, vectors, strict=True), strict=True))
        gallery = Gallery(16, Position(0, b""), block_rows=32)
        gallery.apply(change(gallery, added=self.templates))
        write_snapshot(path, gallery.state, KEY, collection="staff", model="0123456789abcdef")

    def read(self) -> Snapshot:
        return read_snapshot(self.path, {KEY.version: KEY})


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "file")


def test_a_thousand_damaged_snapshots_are_all_refused(kept: Kept) -> None:
    whole = kept.path.read_bytes()
    assert holds(kept.read().gallery.state, kept.templates)
    believed = []
    for what, body in damaged(whole, COUNT, seed=1):
        kept.path.write_bytes(body)
        try:
            kept.read()
        except SnapshotUnusable:
            continue
        believed.append(what)
    assert believed == []
    kept.path.write_bytes(whole)
    assert holds(kept.read().gallery.state, kept.templates)
