"""A file copy of one collection's index: a cache that is believed only if every bit is right.

Layout: magic, the length of the header (uint32, little-endian), the header (JSON), its proof; then
of each chunk the face ids, person ids and vectors (little-endian float32), and its proof. A proof
is the SHA-256 of everything before it but the other proofs, so no part can be lost, changed or
swapped, or come from another file, and nothing is believed before it is proved.
"""

import contextlib
import glob
import hashlib
import json
import os
import secrets
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.failpoints import hit
from app.gallery.index import BLOCK_ROWS, Gallery, State
from app.types import Position, Rows

MAGIC = b"ROLLCALL SNAPSHOT 1\n"
HEADER_LIMIT = 1 << 20
PARTIAL_AGE = 3600.0
"""Seconds after which an unfinished file is one that a killed process left behind."""


class SnapshotUnusable(Exception):
    """The file is not there, not a snapshot, of another format, cut, or changed."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a file held; `gallery` is ready for the changes after `position`."""

    collection: str
    model: str
    position: Position
    gallery: Gallery


def remove_snapshot(path: Path) -> None:
    """Remove the snapshot and every unfinished one beside it; none is left for what was erased."""
    path.unlink(missing_ok=True)
    for partial in path.parent.glob(glob.escape(_prefix(path)) + "*"):
        partial.unlink(missing_ok=True)


def write_snapshot(path: Path, state: State, *, collection: str, model: str) -> None:
    """Replace `path` by a snapshot of `state`, whole or not at all, readable by the owner only.

    Raises OSError. What killed writers left beside it an hour ago is removed, since templates
    that were deleted meanwhile must not stay on disk.
    """
    _sweep(path)
    partial = path.with_name(_prefix(path) + secrets.token_hex(8))
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            _write(file, state, collection, model)
            os.fsync(file.fileno())
        hit("snapshot.before_rename")
        partial.replace(path)
        hit("snapshot.renamed")
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_snapshot(path: Path, *, block_rows: int = BLOCK_ROWS) -> Snapshot:
    """The snapshot in `path`, checked to the last bit. Raises SnapshotUnusable."""
    try:
        with path.open("rb", buffering=0) as file:
            source = _Source(file)
            header = _read_header(source)
            position = Position(header["revision"], bytes.fromhex(header["digest"]))
            gallery = Gallery.load(
                header["dimension"],
                position,
                _read_chunks(source, header["dimension"], header["chunks"]),
                block_rows=block_rows,
            )
            return Snapshot(header["collection"], header["model"], position, gallery)
    except (OSError, ValueError, KeyError, TypeError, MemoryError) as error:
        raise SnapshotUnusable(f"{path.name} cannot be used: {error}") from error


def _write(file: FileIO, state: State, collection: str, model: str) -> None:
    header = json.dumps(
        {
            "collection": collection,
            "model": model,
            "dimension": state.dimension,
            "revision": state.position.revision,
            "digest": state.position.digest.hex(),
            "chunks": [view.size for view in state.views if view.size],
        }
    ).encode()
    if len(header) > HEADER_LIMIT:
        raise OSError("the header of the snapshot would be too long")
    proof = hashlib.sha256()

    def put(*parts: memoryview) -> None:
        for part in parts:
            proof.update(part)
            _write_all(file, part)
        _write_all(file, memoryview(proof.digest()))

    put(memoryview(MAGIC + struct.pack("<I", len(header)) + header))
    hit("snapshot.half_written")
    for rows in state.rows():
        vectors = rows.vectors.astype("<f4", copy=False)
        put(_bytes_of(rows.faces), _bytes_of(rows.persons), _bytes_of(vectors))


def _write_all(file: FileIO, body: memoryview) -> None:
    while body:
        body = body[file.write(body) :]


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).data.cast("B")


class _Source:
    """A file read from its beginning, with the hash of what was read."""

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._proof = hashlib.sha256()

    def fill(self, into: memoryview) -> None:
        """Read as many bytes as fit. Raises ValueError if the file ends before."""
        left = into
        while left:
            count = self._file.readinto(left)
            if not count:
                raise ValueError("the file is cut off")
            left = left[count:]
        self._proof.update(into)

    def take(self, count: int) -> bytes:
        body = bytearray(count)
        self.fill(memoryview(body))
        return bytes(body)

    def prove(self) -> None:
        """Read a proof. Raises ValueError if it is not that of what was read."""
        expected = self._proof.digest()
        if self._file.read(len(expected)) != expected:
            raise ValueError("the file is cut off or damaged")

    def end(self) -> None:
        if self._file.read(1):
            raise ValueError("something follows the end of the file")


def _read_header(source: _Source) -> dict[str, Any]:
    """The header, proved; raises ValueError."""
    if source.take(len(MAGIC)) != MAGIC:
        raise ValueError("it is no snapshot of this format")
    (length,) = struct.unpack("<I", source.take(4))
    if length > HEADER_LIMIT:
        raise ValueError("its header is damaged")
    body = source.take(length)
    source.prove()
    header: dict[str, Any] = json.loads(body)
    return header


def _read_chunks(source: _Source, dimension: int, sizes: list[int]) -> Iterator[Rows]:
    """One chunk at a time, each proved before it is handed over; raises ValueError."""
    for size in sizes:
        rows = Rows(
            faces=np.empty((size, 16), dtype=np.uint8),
            persons=np.empty((size, 16), dtype=np.uint8),
            vectors=np.empty((size, dimension), dtype="<f4"),
        )
        for part in (rows.faces, rows.persons, rows.vectors):
            source.fill(_bytes_of(part))
        source.prove()
        yield rows
    source.end()


def _prefix(path: Path) -> str:
    return f".{path.name}.partial-"


def _sweep(path: Path) -> None:
    """Remove what killed writers of `path` left; a writer at work is never that old."""
    for partial in path.parent.glob(glob.escape(_prefix(path)) + "*"):
        with contextlib.suppress(FileNotFoundError):
            if partial.stat().st_mtime < time.time() - PARTIAL_AGE:
                partial.unlink()
