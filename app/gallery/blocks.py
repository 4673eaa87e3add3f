"""Where templates lie: blocks of rows that never move while somebody may be reading them.

A block is written only by the one writer of its gallery and only in rows that no published view
counts, so a reader needs no lock. A deleted row stays where it is and is named in the view's
`dead` until enough of them have gathered to make a compacted copy worth its price.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.gallery.storage import Codes, Stored
from app.types import Floats, Rows

Ids = NDArray[np.uint64]
"""Ids of N faces or persons as uint64[2, N]: the two halves of the 16 bytes, as they lie there."""

Index = NDArray[np.intp]

NONE_DEAD: Index = np.empty(0, dtype=np.intp)

NORM_TOLERANCE = 1e-3
"""How far the length of an embedding may be from one."""


def checked(vectors: Floats, dimension: int) -> Floats:
    """`vectors` as C-contiguous float32[N, D].

    Raises ValueError unless they are of this dimension, finite, and of length one within 1e-3:
    what is no unit vector has no cosine, and one NaN would spoil every order it takes part in.
    """
    rows = np.ascontiguousarray(vectors, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != dimension:
        raise ValueError(f"embeddings must be float32[N, {dimension}], not {rows.shape}")
    squares = np.einsum("ij,ij->i", rows, rows)
    if not np.all(np.abs(np.sqrt(squares) - 1) <= NORM_TOLERANCE):
        raise ValueError("embeddings must be finite and of length one")
    return rows


def packed(ids: NDArray[np.uint8]) -> Ids:
    """uint8[N, 16] as uint64[2, N]. Raises ValueError for another shape or type."""
    if ids.dtype != np.uint8 or ids.ndim != 2 or ids.shape[1] != 16:
        raise ValueError(f"ids must be uint8[N, 16], not {ids.dtype}{list(ids.shape)}")
    return np.ascontiguousarray(np.ascontiguousarray(ids).view(np.uint64).T)


def unpacked(ids: Ids) -> NDArray[np.uint8]:
    """The reverse of `packed`, a copy: uint8[N, 16]."""
    return np.ascontiguousarray(ids.T).view(np.uint8).reshape(-1, 16)


def as_bytes(ids: Ids) -> list[bytes]:
    """Each id as its 16 bytes."""
    body = unpacked(ids).tobytes()
    return [body[at : at + 16] for at in range(0, len(body), 16)]


class Block:
    """Room for `capacity` templates: their vectors, and 32 bytes each.

    faces, persons: uint64[2, capacity]. stored: the vectors, in the storage format of the gallery.
    codes: short codes of them, where the gallery is searched in two stages.
    written: rows that may have been written; only rows from there on may be. Memory is taken from
    the system page by page as rows are written.
    """

    __slots__ = ("__weakref__", "codes", "faces", "persons", "stored", "written")

    def __init__(self, stored: Stored, codes: Codes | None = None) -> None:
        self.faces: Ids = np.empty((2, stored.capacity), dtype=np.uint64)
        self.persons: Ids = np.empty((2, stored.capacity), dtype=np.uint64)
        self.stored = stored
        self.codes = codes
        self.written = 0

    @property
    def capacity(self) -> int:
        return self.stored.capacity

    @property
    def dimension(self) -> int:
        return self.stored.dimension

    @property
    def nbytes(self) -> int:
        """Bytes of memory, were every row written."""
        codes = 0 if self.codes is None else self.codes.nbytes
        return self.faces.nbytes + self.persons.nbytes + self.stored.nbytes + codes

    def write(self, at: int, faces: Ids, persons: Ids, vectors: Floats) -> None:
        """Put rows at `at`. The caller has seen to it that nobody reads there.

        Raises ScratchFailed; the rows then count as written, so that they are left alone.
        """
        end = at + len(vectors)
        self.written = max(self.written, end)
        self.faces[:, at:end] = faces
        self.persons[:, at:end] = persons
        self.stored.write(at, vectors)
        if self.codes is not None:
            self.codes.write(at, vectors)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What one state counts of a block: rows 0 to `used` but for `dead` (ascending)."""

    block: Block
    used: int
    dead: Index

    @property
    def size(self) -> int:
        return self.used - len(self.dead)

    def live(self) -> Index:
        """The rows that count, ascending."""
        return np.delete(np.arange(self.used, dtype=np.intp), self.dead)

    def rows(self) -> Rows:
        """The templates that count, as they were enrolled; not to be written to.

        Raises ScratchFailed.
        """
        if not len(self.dead):
            part: slice | Index = slice(self.used)
        else:
            part = self.live()
        block = self.block
        return Rows(
            faces=unpacked(block.faces[:, part]),
            persons=unpacked(block.persons[:, part]),
            vectors=block.stored.take(part),
        )


def find(views: Sequence[View], faces: Ids) -> Iterator[tuple[int, Index]]:
    """Where `faces` live: the number of a view and rows in it, for every view that has some.

    A scan of eight bytes a row instead of a table of faces: about a millisecond for a million
    rows, and no memory.
    """
    wanted = Wanted(faces)
    for number, view in enumerate(views if wanted.names else ()):
        rows = wanted.among(view.block.faces, view)
        if len(rows):
            yield number, rows


def absent(views: Sequence[View], persons: Ids) -> int:
    """How many of `persons`, each counted once, have no template here. A scan, as in `find`."""
    wanted = Wanted(persons)
    missing = set(wanted.names)
    for view in views:
        if not missing:
            break
        rows = wanted.among(view.block.persons, view)
        missing.difference_update(as_bytes(view.block.persons[:, rows]))
    return len(missing)


class Wanted:
    """Ids that are looked for, uint64[2, N]."""

    def __init__(self, ids: Ids) -> None:
        self.names = set(as_bytes(ids))
        self._keys = np.unique(ids[1])  # the second half holds most of what is random in a UUID
        # A filter before the search for keys: few of the others share a place with one of these.
        bits = min(22, len(self._keys).bit_length() + 7)
        self._shift = np.uint64(64 - bits)
        self._places = np.zeros(1 << bits, dtype=bool)
        self._places[self._places_of(self._keys)] = True

    def among(self, ids: Ids, view: View) -> Index:
        """Rows of `view` that count and whose id is wanted, ascending; `ids` are of its block."""
        keys, here = self._keys, ids[1, : view.used]
        if not len(keys):
            return NONE_DEAD
        if len(keys) == 1:
            hits = np.flatnonzero(here == keys[0])
        else:
            hits = np.flatnonzero(self._places.take(self._places_of(here)))
            hits = hits[keys[np.searchsorted(keys[:-1], here[hits])] == here[hits]]
        if not len(hits):
            return NONE_DEAD
        names = as_bytes(ids[:, hits])
        rows = hits[np.fromiter((name in self.names for name in names), bool, len(names))]
        counted: Index = rows[~np.isin(rows, view.dead)]
        return counted

    def _places_of(self, keys: NDArray[np.uint64]) -> Index:
        """Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4)."""
        return ((keys * np.uint64(0x9E3779B97F4A7C15)) >> self._shift).view(np.intp)


def distinct(ids: Ids) -> int:
    """How many different ids there are."""
    count: int = ids.shape[1]
    keys = np.sort(ids[1])  # np.unique takes fifty times as long
    if not np.any(keys[1:] == keys[:-1]):  # true of faces nearly always
        return count
    ordered = ids[:, np.lexsort(ids)]
    return 1 + int(np.count_nonzero(np.any(ordered[:, 1:] != ordered[:, :-1], axis=0)))
