import os
import stat
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.gallery.index import Gallery
from app.gallery.snapshot import (
    SnapshotUnusable,
    read_snapshot,
    remove_old_formats,
    write_snapshot,
)
from app.types import Position
from app.vault import DataKey, KeyName

from .oracle import Sample, change, directions, holds, rows_of, samples, uuids

KEY = DataKey(KeyName("collection", bytes(16), 3), bytes(range(32)))
KEYS = {3: KEY}

IN_ONE_FOLDER = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A snapshot of 40 templates in several chunks."""
    generator = np.random.default_rng(0)
    gallery = Gallery(6, Position(0, b""), block_rows=16)
    faces = uuids(generator, 40)
    templates = dict(zip(faces, zip(faces, directions(generator, 40, 6), strict=True), strict=True))
    gallery.apply(change(gallery, added=templates))
    path = tmp_path_factory.mktemp("snapshots") / "original"
    write_snapshot(path, gallery.state, KEY, collection="staff", model="0123456789abcdef")
    return path.read_bytes()


def write_empty(path: Path) -> None:
    write_snapshot(path, Gallery(3, Position(0, b"")).state, KEY, collection="", model="")


@IN_ONE_FOLDER
@given(samples(), st.text(max_size=40), st.integers(0, 2**62), st.binary(max_size=32))
def test_what_was_written_is_read(
    tmp_path: Path, sample: Sample, name: str, revision: int, digest: bytes
) -> None:
    gallery = Gallery.load(
        sample.dimension,
        Position(revision, digest),
        [rows_of(sample.templates, sample.dimension)],
        block_rows=sample.block_rows,
    )
    templates = dict(sample.templates)
    gone = list(templates)[::7]
    gallery.apply(change(gallery, removed=gone))
    for face in gone:
        del templates[face]
    write_snapshot(tmp_path / "file", gallery.state, KEY, collection=name, model="m")
    snapshot = read_snapshot(tmp_path / "file", KEYS)
    assert (snapshot.collection, snapshot.model) == (name, "m")
    assert snapshot.position == gallery.state.position == snapshot.gallery.state.position
    assert holds(snapshot.gallery.state, templates)
    assert snapshot.gallery.state.persons() == gallery.state.persons()
    snapshot.gallery.apply(change(snapshot.gallery, removed=list(templates)[:1]))


@IN_ONE_FOLDER
@given(st.data())
def test_a_flipped_bit_anywhere_is_noticed(
    tmp_path: Path, original: bytes, data: st.DataObject
) -> None:
    body = bytearray(original)
    for at in data.draw(st.sets(st.integers(0, len(body) * 8 - 1), min_size=1, max_size=4)):
        body[at // 8] ^= 1 << at % 8
    (tmp_path / "file").write_bytes(body)
    with pytest.raises(SnapshotUnusable):
        read_snapshot(tmp_path / "file", KEYS)


def test_every_flipped_byte_of_the_header_is_noticed(tmp_path: Path, original: bytes) -> None:
    for at in range(300):
        body = bytearray(original)
        body[at] ^= 0xFF
        (tmp_path / "file").write_bytes(body)
        with pytest.raises(SnapshotUnusable):
            read_snapshot(tmp_path / "file", KEYS)


@IN_ONE_FOLDER
@given(st.data())
def test_a_cut_anywhere_is_noticed(tmp_path: Path, original: bytes, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(original) - 1))
    end = data.draw(st.integers(begin + 1, len(original)))
    (tmp_path / "file").write_bytes(original[:begin] + original[end:])
    with pytest.raises(SnapshotUnusable):
        read_snapshot(tmp_path / "file", KEYS)


@IN_ONE_FOLDER
@given(st.binary(max_size=100), st.binary(min_size=1, max_size=100))
def test_what_is_put_in_is_noticed(
    tmp_path: Path, original: bytes, before: bytes, after: bytes
) -> None:
    (tmp_path / "file").write_bytes(before + original + after)
    with pytest.raises(SnapshotUnusable):
        read_snapshot(tmp_path / "file", KEYS)


def test_a_missing_file_is_unusable(tmp_path: Path) -> None:
    with pytest.raises(SnapshotUnusable):
        read_snapshot(tmp_path / "none", KEYS)


def test_only_the_owner_may_read_a_snapshot(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_snapshot(
            tmp_path / "f", Gallery(3, Position(0, b"")).state, KEY, collection="", model=""
        )
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, original: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "file").write_bytes(original)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="space"):
        write_empty(tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == original


def test_what_a_killed_writer_left_is_removed_an_hour_later(tmp_path: Path) -> None:
    old, young, other = (
        tmp_path / name for name in (".a.partial-1", ".a.partial-2", ".b.partial-1")
    )
    for path in (old, young, other):
        path.touch()
    for path in (old, other):
        os.utime(path, (0, time.time() - 4000))
    write_empty(tmp_path / "a")
    assert {path.name for path in tmp_path.iterdir()} == {"a", young.name, other.name}


def filled(seed: int) -> Gallery:
    generator = np.random.default_rng(seed)
    gallery = Gallery(64, Position(0, b""), block_rows=16)
    faces = uuids(generator, 40)
    rows = dict(zip(faces, zip(faces, directions(generator, 40, 64), strict=True), strict=True))
    gallery.apply(change(gallery, added=rows))
    return gallery


def test_no_template_is_in_the_file(tmp_path: Path) -> None:
    gallery = filled(1)
    write_snapshot(tmp_path / "file", gallery.state, KEY, collection="c", model="m")
    body = (tmp_path / "file").read_bytes()
    for rows in gallery.state.rows():
        for vector in rows.vectors:
            assert vector.tobytes()[:32] not in body


def test_a_snapshot_opens_with_its_key_alone(tmp_path: Path, original: bytes) -> None:
    (tmp_path / "file").write_bytes(original)
    other = DataKey(KeyName("collection", bytes(16), 3), bytes(32))
    for keys in ({}, {2: KEY}, {3: other}):
        with pytest.raises(SnapshotUnusable):
            read_snapshot(tmp_path / "file", keys)
    assert read_snapshot(tmp_path / "file", {**KEYS, 4: other}).key_version == 3


def test_a_chunk_of_another_file_or_of_another_place_is_refused(tmp_path: Path) -> None:
    gallery = filled(1)
    for name in ("one", "other"):  # equal but for the salt
        write_snapshot(tmp_path / name, gallery.state, KEY, collection="c", model="m")
    one, other = ((tmp_path / name).read_bytes() for name in ("one", "other"))
    assert len(one) == len(other) and one != other
    sizes = [view.size * (32 + 4 * 64) + 16 for view in gallery.state.views]
    begin = len(one) - sum(sizes)
    assert len(sizes) > 2 and sizes[1] == sizes[2]
    first = begin + sizes[0]
    second = first + sizes[1]
    third = second + sizes[2]
    swapped = one[:first] + one[second:third] + one[first:second] + one[third:]
    for body in (one[:begin] + other[begin:], other[:begin] + one[begin:], swapped):
        (tmp_path / "one").write_bytes(body)
        with pytest.raises(SnapshotUnusable):
            read_snapshot(tmp_path / "one", KEYS)


def test_snapshots_of_the_format_that_was_not_encrypted_are_removed(
    tmp_path: Path, original: bytes
) -> None:
    old, partial = tmp_path / "a.snapshot", tmp_path / ".b.snapshot.partial-1"
    for path in (old, partial):
        path.write_bytes(b"ROLLCALL SNAPSHOT 1\n" + bytes(50))
    kept, begun = tmp_path / "c.snapshot", tmp_path / ".c.snapshot.partial-1"
    kept.write_bytes(original)
    begun.touch()
    with pytest.raises(SnapshotUnusable):
        read_snapshot(old, KEYS)
    remove_old_formats(tmp_path)
    assert set(tmp_path.iterdir()) == {kept, begun}
