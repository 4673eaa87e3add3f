"""How the vectors of a block lie in memory: as they were enrolled, or compressed.

What is scanned may be off by `error`; answers are made of the enrolled rows, which `take` gives.
Beside them, where the gallery is searched in two stages, each row has a short code.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from app.errors import CannotStart
from app.gallery import compiled
from app.gallery.scratch import Region, Scratch
from app.types import Floats

Format = Literal["float32", "float16", "int8"]

_ROOM = 1.01
"""For lengths of up to 1.001, and for what rounding does to a distance that was computed."""


class Stored(Protocol):
    """The vectors of one block, of which rows are written once and in order.

    error: how far the dot product of a query with a row, as it is scanned, may be from the true
    one, beyond what the order of float32 sums does.
    """

    capacity: int
    dimension: int
    error: float

    def write(self, at: int, vectors: Floats) -> None:
        """float32[N, D] into rows from `at` on. Raises ScratchFailed."""
        ...

    def take(self, rows: slice | NDArray[np.intp]) -> Floats:
        """Rows as they were enrolled, float32[N, D]; not to be written to. Raises ScratchFailed."""
        ...

    def copied(self, rows: NDArray[np.intp]) -> "Stored":
        """These rows side by side, to be scanned; it may not know how they were enrolled."""
        ...

    @property
    def nbytes(self) -> int:
        """Bytes of memory, were every row written."""
        ...


class Exact:
    """float32[capacity, D], as enrolled. `address`: where they begin in memory."""

    error = 0.0

    def __init__(self, capacity: int, dimension: int) -> None:
        self.capacity = capacity
        self.dimension = dimension
        self.vectors: Floats = np.empty((capacity, dimension), dtype=np.float32)
        self.address: int = self.vectors.ctypes.data

    def write(self, at: int, vectors: Floats) -> None:
        self.vectors[at : at + len(vectors)] = vectors

    def take(self, rows: slice | NDArray[np.intp]) -> Floats:
        taken: Floats = self.vectors[rows]
        return taken

    def copied(self, rows: NDArray[np.intp]) -> "Exact":
        copy = Exact(len(rows), self.dimension)
        np.take(self.vectors, rows, axis=0, out=copy.vectors)
        return copy

    @property
    def nbytes(self) -> int:
        return self.vectors.nbytes


class Compressed:
    """Rows in fewer bits for the scan; the enrolled ones lie in a region of the scratch file."""

    def __init__(self, capacity: int, dimension: int, region: Region | None) -> None:
        self.capacity = capacity
        self.dimension = dimension
        self.error = 0.0
        self._region = region

    def write(self, at: int, vectors: Floats) -> None:
        self._enrolled.write(at, vectors)
        # Before a view can count these rows; a search of older rows is only more careful.
        self.error = max(self.error, _ROOM * self._encode(at, np.ascontiguousarray(vectors)))

    def take(self, rows: slice | NDArray[np.intp]) -> Floats:
        if isinstance(rows, slice):
            begin, end, _ = rows.indices(self.capacity)
            return self._enrolled.read(begin, end)
        return self._enrolled.take(rows)

    @property
    def _enrolled(self) -> Region:
        if self._region is None:
            raise RuntimeError("a copy for a scan has no enrolled rows")
        return self._region

    @property
    def scanned(self) -> NDArray[Any]:
        """The rows as the scan reads them."""
        raise NotImplementedError

    def copied(self, rows: NDArray[np.intp]) -> "Compressed":
        raise NotImplementedError

    def scan(self, used: int, queries: Floats, count: int) -> compiled.Best:
        """The best `count` of the first `used` rows for each query, best first."""
        raise NotImplementedError

    def _encode(self, at: int, vectors: Floats) -> float:
        """Write rows for the scan; how far a product with one of them may be off."""
        raise NotImplementedError


class Half(Compressed):
    """float16: 2 bytes a number."""

    def __init__(self, capacity: int, dimension: int, region: Region | None) -> None:
        super().__init__(capacity, dimension, region)
        self._bits = np.empty((capacity, compiled.padded(dimension)), dtype=np.uint16)

    @property
    def scanned(self) -> NDArray[np.uint16]:
        return self._bits

    @property
    def nbytes(self) -> int:
        return self._bits.nbytes

    def copied(self, rows: NDArray[np.intp]) -> "Half":
        copy = Half(len(rows), self.dimension, None)
        np.take(self._bits, rows, axis=0, out=copy._bits)
        return copy

    def scan(self, used: int, queries: Floats, count: int) -> compiled.Best:
        return compiled.scan_half(self._bits, used, self.dimension, queries, count)

    def _encode(self, at: int, vectors: Floats) -> float:
        return compiled.encode_half(vectors, self._bits[at : at + len(vectors)])


class Bytes(Compressed):
    """int8: 1 byte a number, and a scale for each row."""

    def __init__(self, capacity: int, dimension: int, region: Region | None) -> None:
        super().__init__(capacity, dimension, region)
        self._numbers = np.empty((capacity, compiled.padded(dimension)), dtype=np.int8)
        self._scales = np.empty(capacity, dtype=np.float32)

    @property
    def scanned(self) -> NDArray[np.int8]:
        return self._numbers

    @property
    def nbytes(self) -> int:
        return self._numbers.nbytes + self._scales.nbytes

    def copied(self, rows: NDArray[np.intp]) -> "Bytes":
        copy = Bytes(len(rows), self.dimension, None)
        np.take(self._numbers, rows, axis=0, out=copy._numbers)
        np.take(self._scales, rows, out=copy._scales)
        return copy

    def scan(self, used: int, queries: Floats, count: int) -> compiled.Best:
        return compiled.scan_bytes(
            self._numbers, self._scales, used, self.dimension, queries, count
        )

    def _encode(self, at: int, vectors: Floats) -> float:
        end = at + len(vectors)
        far = compiled.encode_bytes(vectors, self._numbers[at:end], self._scales[at:end])
        # The length of what is scanned is at most 1.001 + far.
        return far + (1 + far) * compiled.query_error(self.dimension)


class Codes:
    """Two bits a dimension of each row, for the first of two stages.

    address, factors_address: where they begin in memory; asking NumPy takes a microsecond, which
    every search of a thousand blocks would pay for each.
    """

    def __init__(self, capacity: int, dimension: int) -> None:
        self.bits = np.empty((capacity, compiled.code_bytes(dimension)), dtype=np.uint8)
        self.factors = np.empty(capacity, dtype=np.float32)
        self.address: int = self.bits.ctypes.data
        self.factors_address: int = self.factors.ctypes.data

    def write(self, at: int, vectors: Floats) -> None:
        end = at + len(vectors)
        compiled.encode_codes(
            np.ascontiguousarray(vectors), self.bits[at:end], self.factors[at:end]
        )

    @property
    def nbytes(self) -> int:
        return self.bits.nbytes + self.factors.nbytes


@dataclass(frozen=True, slots=True)
class Storage:
    """What the galleries of a process are made of.

    format: how vectors are scanned; answers are those of float32 in any of them. folder: where
    compressed galleries put the enrolled rows. codes: whether rows have short codes as well, for
    a search in two stages, which looks at float32 rows.
    """

    format: Format = "float32"
    folder: Path | None = None
    codes: bool = False

    def __post_init__(self) -> None:
        """Raises CannotStart for what cannot be had together, or not in this installation."""
        if self.format != "float32":
            compiled.require(f"ROLLCALL_GALLERY_STORAGE={self.format}")
            if self.folder is None:
                raise ValueError("compressed galleries need a folder for the enrolled rows")
        if self.codes:
            compiled.require("ROLLCALL_SEARCH=two_stage")
            if self.format != "float32":
                raise CannotStart(
                    "ROLLCALL_SEARCH=two_stage looks at float32 rows. "
                    "Set ROLLCALL_GALLERY_STORAGE=float32, or ROLLCALL_SEARCH=exact."
                )


FLOAT32 = Storage()


class Maker:
    """Makes what the blocks of one gallery store; a compressed gallery has one scratch file."""

    def __init__(self, storage: Storage, dimension: int) -> None:
        self._storage = storage
        self._dimension = dimension
        self._scratch: Scratch | None = None

    def stored(self, capacity: int) -> Stored:
        """Raises ScratchFailed."""
        form, folder = self._storage.format, self._storage.folder
        if form == "float32" or folder is None:
            return Exact(capacity, self._dimension)
        if self._scratch is None:
            self._scratch = Scratch(folder)
        kind = Half if form == "float16" else Bytes
        return kind(capacity, self._dimension, self._scratch.region(capacity, self._dimension))

    def codes(self, capacity: int) -> Codes | None:
        return Codes(capacity, self._dimension) if self._storage.codes else None
