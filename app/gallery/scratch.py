"""The float32 rows of compressed galleries: on disk, hidden, for this process alone.

A gallery that scans compressed rows needs the enrolled ones for few: the candidates of a search,
and whole blocks where a snapshot or a checksum is made. They lie in a file without a name, which
the system takes back when the gallery or the process goes, under a key that only this process's
memory holds.
"""

import contextlib
import os
import tempfile
from collections import defaultdict, deque
from itertools import pairwise
from pathlib import Path
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from app.errors import Unavailable
from app.types import Floats
from app.vault import ScratchCipher

_ALIGNED = 16
"""Bytes that a cipher's counter counts."""


class ScratchFailed(Unavailable):
    code = "scratch_failed"
    retry_after = 10


class Scratch:
    """A file of regions. One thread at a time may ask for regions and write; any may read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self._descriptor = _nameless(folder)
        except OSError as error:
            raise _failed(folder, error) from error
        finalize(self, os.close, self._descriptor)
        self.cipher = ScratchCipher()
        self._end = 0
        self._free: defaultdict[int, deque[int]] = defaultdict(deque)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._end

    def region(self, rows: int, dimension: int) -> "Region":
        """Room for rows, on disk at once: a full disk is found out here.

        Raises ScratchFailed.
        """
        width = -(-4 * dimension // _ALIGNED) * _ALIGNED
        size = rows * width
        if self._free[size]:
            offset = self._free[size].popleft()
        else:
            try:
                os.posix_fallocate(self._descriptor, self._end, size)
            except OSError as error:
                with contextlib.suppress(OSError):  # give back what was there
                    os.ftruncate(self._descriptor, self._end)
                raise _failed(self.folder, error) from error
            offset = self._end
            self._end += size
        region = Region(self, offset, dimension, width)
        finalize(region, self._free[size].append, offset)
        return region

    def write(self, offset: int, body: bytes) -> None:
        """Raises ScratchFailed."""
        left = memoryview(body)
        try:
            while left:
                done = os.pwrite(self._descriptor, left, offset)
                left, offset = left[done:], offset + done
        except OSError as error:
            raise _failed(self.folder, error) from error

    def read(self, offset: int, size: int) -> bytes:
        """Raises ScratchFailed."""
        parts = []
        try:
            while size:
                part = os.pread(self._descriptor, size, offset)
                if not part:
                    raise OSError("it ends before what was written")
                parts.append(part)
                size, offset = size - len(part), offset + len(part)
        except OSError as error:
            raise _failed(self.folder, error) from error
        return parts[0] if len(parts) == 1 else b"".join(parts)


class Region:
    """The rows of one block. Each may be written once only, since its key stream is its place's.

    Whoever writes a row a second time takes a new region, which has a key stream of its own even
    where it lies in the same place.
    """

    def __init__(self, scratch: Scratch, offset: int, dimension: int, width: int) -> None:
        self._scratch = scratch
        self._offset = offset
        self._dimension = dimension
        self._width = width
        self._start = scratch.cipher.new_start()

    def write(self, at: int, vectors: Floats) -> None:
        """Raises ScratchFailed; then none of these rows may be written again."""
        if not len(vectors):
            return
        body = np.zeros((len(vectors), self._width // 4), dtype=np.float32)
        body[:, : self._dimension] = vectors
        begin = at * self._width
        hidden = self._scratch.cipher.hide(self._start, begin, body.data.cast("B"))
        self._scratch.write(self._offset + begin, hidden)

    def read(self, begin: int, end: int) -> Floats:
        """Rows from `begin` to `end` as they were enrolled. Raises ScratchFailed."""
        if begin >= end:
            return np.empty((0, self._dimension), dtype=np.float32)
        at, size = begin * self._width, (end - begin) * self._width
        hidden = self._scratch.read(self._offset + at, size)
        body = np.empty((end - begin, self._width // 4), dtype=np.float32)
        self._scratch.cipher.show(self._start, at, hidden, body.data.cast("B"))
        return body[:, : self._dimension]

    def take(self, rows: NDArray[np.intp]) -> Floats:
        """Rows by number, those that lie side by side at once. Raises ScratchFailed."""
        taken = np.empty((len(rows), self._dimension), dtype=np.float32)
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        edges = [0, *breaks.tolist(), len(rows)]
        for begin, end in pairwise(edges):
            if end > begin:
                taken[begin:end] = self.read(int(rows[begin]), int(rows[end - 1]) + 1)
        return taken


def _nameless(folder: Path) -> int:
    """A file in `folder` that no name leads to, readable by the owner only."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(OSError):  # not every file system can
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    descriptor, name = tempfile.mkstemp(prefix=".scratch-", dir=folder)
    Path(name).unlink()
    return descriptor


def _failed(folder: Path, error: OSError) -> ScratchFailed:
    return ScratchFailed(
        f"The rows of a compressed gallery cannot be kept in {folder}: "
        f"{error.strerror or error}. Make room there, or set ROLLCALL_GALLERY_STORAGE=float32."
    )
