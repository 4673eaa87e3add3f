"""A file copy of one collection's index: a cache that is believed only if every bit is right.

Layout: magic, the length of the header (uint32, little-endian), the header (JSON), its seal; then
each chunk, sealed: the face ids, person ids and vectors (little-endian float32) of some rows.

All of it is sealed (AES-256-GCM) under a key of this file alone, which comes from the collection's
key and a random salt in the header. A chunk is bound to the header, to its number and to whether
it is the last, so no part can be lost, changed or swapped, or come from another file. Nothing is
believed before it is opened, and no template is ever on disk in plain.
"""

import contextlib
import glob
import json
import os
import secrets
import struct
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from io import FileIO
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.failpoints import hit
from app.gallery.index import BLOCK_ROWS, Gallery, State
from app.gallery.storage import FLOAT32, Storage
from app.types import Position, Rows
from app.vault import TAG_BYTES, DataKey, FileCipher, Unreadable

MAGIC = b"ROLLCALL SNAPSHOT 3\n"
HEADER_LIMIT = 1 << 20
SALT_BYTES = 32
PARTIAL_AGE = 3600.0
"""Seconds after which an unfinished file is one that a killed process left behind."""

_CHUNK_ROWS: Final = 1024
"""2 MB at 512 dimensions: from opening to copying it stays in a core's cache."""

_AHEAD: Final = 4
"""Chunks that are read and opened while one is laid out."""


class SnapshotUnusable(Exception):
    """The file is not there, not a snapshot, of another format or key, cut, or changed."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a file held; `gallery` is ready for the changes after `position`."""

    collection: str
    model: str
    position: Position
    gallery: Gallery
    key_version: int


def remove_snapshot(path: Path) -> None:
    """Remove the snapshot and every unfinished one beside it; none is left for what was erased."""
    path.unlink(missing_ok=True)
    for partial in path.parent.glob(glob.escape(_prefix(path)) + "*"):
        partial.unlink(missing_ok=True)


def remove_old_formats(folder: Path) -> None:
    """Remove snapshots and unfinished ones of earlier formats, which held templates in plain."""
    for path in [*folder.glob("*.snapshot"), *folder.glob(".*.partial-*")]:
        with contextlib.suppress(FileNotFoundError):
            with path.open("rb") as file:
                begin = file.read(len(MAGIC))
            if not MAGIC.startswith(begin):  # an empty one has a writer at work
                path.unlink()


def write_snapshot(path: Path, state: State, key: DataKey, *, collection: str, model: str) -> None:
    """Replace `path` by a snapshot of `state`, whole or not at all, readable by the owner only.

    Raises OSError. What killed writers left beside it an hour ago is removed, since templates
    that were deleted meanwhile must not stay on disk.
    """
    _sweep(path)
    partial = path.with_name(_prefix(path) + secrets.token_hex(8))
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            _write(file, state, key, collection, model)
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


def read_snapshot(
    path: Path,
    keys: Mapping[int, DataKey],
    *,
    block_rows: int = BLOCK_ROWS,
    storage: Storage = FLOAT32,
) -> Snapshot:
    """The snapshot in `path`, checked to the last bit; `keys` are the collection's, by version.

    Raises SnapshotUnusable, and ScratchFailed as Gallery.load does.
    """
    try:
        with path.open("rb", buffering=0) as file:
            source = _Source(file)
            opened = _read_header(source, keys)
            header = opened.fields
            position = Position(header["revision"], bytes.fromhex(header["digest"]))
            gallery = Gallery.load(
                header["dimension"],
                position,
                _read_chunks(source, opened),
                block_rows=block_rows,
                storage=storage,
            )
            return Snapshot(
                header["collection"], header["model"], position, gallery, header["key_version"]
            )
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        MemoryError,
        RecursionError,
        Unreadable,
    ) as error:
        raise SnapshotUnusable(f"{path.name} cannot be used: {error}") from error


def _write(file: FileIO, state: State, key: DataKey, collection: str, model: str) -> None:
    salt = secrets.token_bytes(SALT_BYTES)
    chunks = [
        min(_CHUNK_ROWS, view.size - begin)
        for view in state.views
        for begin in range(0, view.size, _CHUNK_ROWS)
    ]
    fields = json.dumps(
        {
            "collection": collection,
            "model": model,
            "dimension": state.dimension,
            "revision": state.position.revision,
            "digest": state.position.digest.hex(),
            "chunks": chunks,
            "key_version": key.version,
            "salt": salt.hex(),
        }
    ).encode()
    if len(fields) > HEADER_LIMIT:
        raise OSError("the header of the snapshot would be too long")
    cipher = key.file_cipher(salt)
    header = MAGIC + struct.pack("<I", len(fields)) + fields
    _write_all(file, memoryview(header + cipher.seal(0, b"", header)))
    hit("snapshot.half_written")
    about = sha256(header).digest()
    hit("snapshot.half_written")
    for number, rows in enumerate(_chunks(state), 1):
        plain = b"".join(
            (
                _bytes_of(rows.faces),
                _bytes_of(rows.persons),
                _bytes_of(rows.vectors.astype("<f4", copy=False)),
            )
        )
        bound = _bound(about, number, last=number == len(chunks))
        _write_all(file, memoryview(cipher.seal(number, plain, bound)))


def _chunks(state: State) -> Iterator[Rows]:
    for rows in state.rows():
        for begin in range(0, len(rows), _CHUNK_ROWS):
            part = slice(begin, begin + _CHUNK_ROWS)
            yield Rows(rows.faces[part], rows.persons[part], rows.vectors[part])


def _bound(header: bytes, number: int, *, last: bool) -> bytes:
    """What a chunk is bound to; `header` is the hash of the whole header."""
    return header + struct.pack("<Q?", number, last)


def _write_all(file: FileIO, body: memoryview) -> None:
    while body:
        body = body[file.write(body) :]


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).data.cast("B")


class _Source:
    """A file of bytes at known places. Its methods may be called by several threads."""

    def __init__(self, file: FileIO) -> None:
        self._descriptor = file.fileno()

    def take(self, at: int, count: int) -> bytes:
        """Raises ValueError if the file ends before."""
        body = bytearray(count)
        self.fill(at, memoryview(body))
        return bytes(body)

    def fill(self, at: int, into: memoryview) -> None:
        """Raises ValueError if the file ends before."""
        while into:
            got = os.preadv(self._descriptor, [into], at)
            if not got:
                raise ValueError("the file is cut off")
            into, at = into[got:], at + got

    def end(self, at: int) -> None:
        if os.pread(self._descriptor, 1, at):
            raise ValueError("something follows the end of the file")


@dataclass(frozen=True, slots=True)
class _Header:
    """A header that was opened: its fields, the key of the file, the hash of all of it, and where
    the first chunk begins."""

    fields: dict[str, Any]
    cipher: FileCipher
    about: bytes
    end: int


def _read_header(source: _Source, keys: Mapping[int, DataKey]) -> _Header:
    """Raises ValueError and Unreadable. What names the key is read before it can be believed."""
    begin = source.take(0, len(MAGIC) + 4)
    if not begin.startswith(MAGIC):
        raise ValueError("it is no snapshot of this format")
    (size,) = struct.unpack_from("<I", begin, len(MAGIC))
    if size > HEADER_LIMIT:
        raise ValueError("its header is damaged")
    header = begin + source.take(len(begin), size)
    fields: dict[str, Any] = json.loads(header[len(begin) :])
    key = keys.get(fields["key_version"])
    if key is None:
        raise ValueError("its key is not there any more")
    cipher = key.file_cipher(bytes.fromhex(fields["salt"]))
    cipher.open(0, source.take(len(header), TAG_BYTES), header)
    return _Header(fields, cipher, sha256(header).digest(), len(header) + TAG_BYTES)


class _Opener:
    """Reads and opens chunks into one place, so that memory is taken once for all of them."""

    def __init__(self, source: _Source, header: _Header) -> None:
        self._source = source
        self._header = header
        self._dimension: int = header.fields["dimension"]
        self._sealed = bytearray()
        self._plain = bytearray()

    def rows(self, number: int, size: int, at: int) -> Rows:
        """The chunk of that number, of `size` rows, which begins at byte `at`; good until the next.

        Raises ValueError and Unreadable.
        """
        dimension, count = self._dimension, size * (32 + 4 * self._dimension)
        if len(self._plain) != count:
            self._sealed, self._plain = bytearray(count + TAG_BYTES), bytearray(count)
        plain = self._plain
        self._source.fill(at, memoryview(self._sealed))
        last = number == len(self._header.fields["chunks"])
        bound = _bound(self._header.about, number, last=last)
        self._header.cipher.open_into(number, self._sealed, bound, memoryview(plain))
        return Rows(
            faces=np.frombuffer(plain, np.uint8, 16 * size).reshape(-1, 16),
            persons=np.frombuffer(plain, np.uint8, 16 * size, 16 * size).reshape(-1, 16),
            vectors=np.frombuffer(plain, "<f4", size * dimension, 32 * size).reshape(-1, dimension),
        )


def _read_chunks(source: _Source, header: _Header) -> Iterator[Rows]:
    """One chunk at a time, opened before it is handed over, and good until the next is asked for.

    Others are read and opened meanwhile. Raises ValueError, Unreadable.
    """
    openers = [_Opener(source, header) for _ in range(_AHEAD)]
    ahead: deque[Future[Rows]] = deque()
    at = header.end
    with ThreadPoolExecutor(min(_AHEAD, os.cpu_count() or 1), "snapshot") as threads:
        for number, size in enumerate(header.fields["chunks"], 1):
            if len(ahead) == _AHEAD:  # once it was used, its opener is the next one's
                yield ahead.popleft().result()
            ahead.append(threads.submit(openers[number % _AHEAD].rows, number, size, at))
            at += size * (32 + 4 * header.fields["dimension"]) + TAG_BYTES
        while ahead:
            yield ahead.popleft().result()
    source.end(at)


def _prefix(path: Path) -> str:
    return f".{path.name}.partial-"


def _sweep(path: Path) -> None:
    """Remove what killed writers of `path` left; a writer at work is never that old."""
    for partial in path.parent.glob(glob.escape(_prefix(path)) + "*"):
        with contextlib.suppress(FileNotFoundError):
            if partial.stat().st_mtime < time.time() - PARTIAL_AGE:
                partial.unlink()
