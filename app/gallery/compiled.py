"""The compiled scans of kernels/, with types. Where they were not built, `require` says so.

Every function runs on the calling thread alone and releases the GIL. Arrays are C-contiguous.
"""

import importlib
from types import ModuleType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.errors import CannotStart
from app.types import Floats

Best = tuple[Floats, NDArray[np.int64]]

VERSION: Final = 1
"""Of the functions that are called here: kernels/rollcall_kernels/machine.c says the same."""

PADDED_TO: Final = 16
"""Numbers that a compressed row is a multiple of."""


class KernelsMissing(CannotStart):
    code = "kernels_missing"


def _load() -> ModuleType | None:
    try:
        module = importlib.import_module("rollcall_kernels")
    except (ImportError, StopIteration, OSError):
        return None
    return module if module.lib.rollcall_version() == VERSION else None


_MODULE: Final = _load()


def built() -> bool:
    return _MODULE is not None


def require(setting: str) -> None:
    """Raises KernelsMissing unless the kernels were built; `setting` is what needs them."""
    if not built():
        raise KernelsMissing(
            f"{setting} needs the compiled scan kernels, which are not installed in this version. "
            "Install a C compiler and build them (python -m pip install --no-deps "
            "--no-build-isolation ./kernels), or leave the setting at its default."
        )


def use_processor_features(allowed: bool) -> bool:
    """Whether AVX2 is used from now on. For tests of the way that every processor can go."""
    return bool(_lib().rollcall_fast(int(allowed)))


def padded(dimension: int) -> int:
    """How many numbers a compressed row has."""
    return -(-dimension // PADDED_TO) * PADDED_TO


def code_bytes(dimension: int) -> int:
    """How many bytes the code of a row has."""
    return -(-dimension // 128) * 32


def encode_half(vectors: Floats, out: NDArray[np.uint16]) -> float:
    """float32[N, D] into float16 bits [N, padded(D)]; the greatest distance of a row from its."""
    far: float = _lib().rollcall_encode_half(
        _at("float *", vectors), *vectors.shape, out.shape[1], _at("uint16_t *", out)
    )
    return far


def encode_bytes(vectors: Floats, out: NDArray[np.int8], scales: Floats) -> float:
    """The same into int8 with a scale for each row: row = scale * int8."""
    far: float = _lib().rollcall_encode_bytes(
        _at("float *", vectors),
        *vectors.shape,
        out.shape[1],
        _at("int8_t *", out),
        _at("float *", scales),
    )
    return far


def query_error(dimension: int) -> float:
    """How far a query of length 1.001 may be from what `scan_bytes` makes of it.

    It counts in whole steps, each at most a limit-th of the largest number; every number is off
    by half a step at most.
    """
    limit = min(32767, 2147483000 // (127 * padded(dimension)))
    return 1.002 * float(np.sqrt(dimension)) / (2 * limit)


def scan_half(
    rows: NDArray[np.uint16], used: int, dimension: int, queries: Floats, count: int
) -> Best:
    """The best `count` of the first `used` rows for each query, best first."""
    scores, where = _answer(len(queries), count)
    _done(
        _lib().rollcall_scan_half(
            _at("uint16_t *", rows), used, dimension, rows.shape[1],
            _at("float *", queries), len(queries), count,
            _at("float *", scores), _at("int64_t *", where),
        )
    )  # fmt: skip
    return scores, where


def scan_bytes(
    rows: NDArray[np.int8], scales: Floats, used: int, dimension: int, queries: Floats, count: int
) -> Best:
    """As `scan_half`."""
    scores, where = _answer(len(queries), count)
    _done(
        _lib().rollcall_scan_bytes(
            _at("int8_t *", rows), _at("float *", scales), used, dimension, rows.shape[1],
            _at("float *", queries), len(queries), count,
            _at("float *", scores), _at("int64_t *", where),
        )
    )  # fmt: skip
    return scores, where


def encode_codes(vectors: Floats, codes: NDArray[np.uint8], factors: Floats) -> None:
    """Short codes uint8[N, code_bytes(D)] of float32[N, D], with what corrects their products."""
    _done(
        _lib().rollcall_encode_codes(
            _at("float *", vectors), *vectors.shape,
            _at("uint8_t *", codes), _at("float *", factors),
        )
    )  # fmt: skip


Addresses = NDArray[np.uintp]
"""Where arrays begin; 0 for one that is not there. Their owners must be kept meanwhile."""


def scan_codes(
    codes: Addresses,
    factors: Addresses,
    skipped: Addresses,
    used: NDArray[np.int64],
    dimension: int,
    queries: Floats,
    count: int,
) -> Best:
    """The likely best `count` rows of all blocks for each query, numbered through all blocks.

    Each array has an entry for each block; `skipped` bool[used]: rows that do not count. Where
    there are fewer rows, -inf and -1 fill up.
    """
    scores, where = _answer(len(queries), count)
    _done(
        _lib().rollcall_scan_codes(
            _at("uint8_t const * const *", codes), _at("float const * const *", factors),
            _at("uint8_t const * const *", skipped), _at("int64_t *", used), len(used),
            dimension, _at("float *", queries), len(queries), count,
            _at("float *", scores), _at("int64_t *", where),
        )
    )  # fmt: skip
    return scores, where


def score_places(
    rows: Addresses,
    owners: NDArray[np.int64],
    places: NDArray[np.int64],
    dimension: int,
    query: Floats,
) -> Floats:
    """The products of one query with row `places[i]` of the float32 block `owners[i]`."""
    scores = np.empty(len(places), dtype=np.float32)
    _lib().rollcall_score_places(
        _at("float const * const *", rows), _at("int64_t *", owners), _at("int64_t *", places),
        len(places), dimension, _at("float *", query), _at("float *", scores),
    )  # fmt: skip
    return scores


def _answer(asked: int, count: int) -> Best:
    return np.empty((asked, count), np.float32), np.empty((asked, count), np.int64)


def _done(status: int) -> None:
    if status:
        raise MemoryError("a scan found no memory")


def _built() -> Any:
    if _MODULE is None:
        raise RuntimeError("the compiled scan kernels are not built")
    return _MODULE


def _lib() -> Any:
    return _built().lib


def _at(kind: str, array: NDArray[Any]) -> Any:
    return _built().ffi.cast(kind, array.ctypes.data)
