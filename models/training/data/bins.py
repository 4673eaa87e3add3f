"""InsightFace's ``.bin`` verification sets: pickles, read without trusting them."""

import _codecs
import io
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy._core import multiarray
from numpy.typing import NDArray

from models.training.errors import TrainingDataError

# What the pickle machine raises for bytes that are no pickle or end too early.
DAMAGE: Final = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    OverflowError,
    MemoryError,
)


@dataclass(frozen=True, kw_only=True)
class VerificationSet:
    """Pairs of encoded pictures: pair i is ``images[2 * i]`` and ``images[2 * i + 1]``.

    ``mated`` bool [pairs] tells which show one person; their order is the protocol's.
    """

    images: tuple[bytes, ...]
    mated: NDArray[np.bool_]


def read_bin(path: Path) -> VerificationSet:
    """Read a ``.bin``: a pickle of (encoded pictures, whether each pair is mated).

    A pickle can name any function and have it run. This one may name what arrays and bytes are
    made with, and nothing else.

    Raises:
        FileNotFoundError: no such file.
        TrainingDataError: the file is damaged, names something else or is no such set.
    """
    content = path.read_bytes()
    try:
        loaded = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    except _Refused as error:
        raise TrainingDataError(
            f"{path} asks for {error}, which no verification set needs: it was not read."
        ) from None
    except DAMAGE as error:
        raise TrainingDataError(
            f"{path} is no verification set or was cut short ({error}). Fetch it again."
        ) from None
    if not isinstance(loaded, tuple | list) or len(loaded) != 2:
        raise TrainingDataError(f"{path} holds no pair of pictures and flags.")
    images, flags = loaded
    if not all(isinstance(each, list | tuple | np.ndarray) for each in loaded):
        raise TrainingDataError(f"{path} holds no lists of pictures and flags.")
    if not len(images) == 2 * len(flags) > 0:
        raise TrainingDataError(
            f"{path} has {len(images)} pictures for {len(flags)} pairs; each pair needs two."
        )
    return VerificationSet(
        images=tuple(_encoded(image, path, number) for number, image in enumerate(images)),
        mated=_flags(flags, path),
    )


def _encoded(image: object, path: Path, number: int) -> bytes:
    if isinstance(image, bytes):
        return image
    if isinstance(image, np.ndarray) and image.dtype == np.uint8:
        return image.tobytes()
    raise TrainingDataError(
        f"{path}: picture {number} is {type(image).__name__}, not the bytes of an encoded picture."
    )


def _flags(flags: Sequence[object] | NDArray[Any], path: Path) -> NDArray[np.bool_]:
    for number, flag in enumerate(flags):
        if not isinstance(flag, bool | int | np.bool_ | np.integer) or flag not in {0, 1}:
            raise TrainingDataError(f"{path}: flag {number} is {flag!r}, not true or false.")
    return np.array(flags, np.bool_)


class _Refused(Exception):
    """The name that a pickle asked for."""


def _encode(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes in the protocols of Python 2."""
    if encoding != "latin1":
        raise _Refused(f"_codecs.encode to {encoding!r}")
    return _codecs.encode(text, encoding)


def _scalar(kind: np.dtype[Any], content: bytes) -> object:
    if kind.hasobject:
        raise _Refused("a NumPy scalar that holds objects")
    return multiarray.scalar(kind, content)


MULTIARRAY: Final[dict[str, Callable[..., object]]] = {
    "_reconstruct": multiarray._reconstruct,
    "scalar": _scalar,
}
ALLOWED: Final[dict[str, dict[str, Callable[..., object]]]] = {
    "_codecs": {"encode": _encode},
    "numpy": {"ndarray": np.ndarray, "dtype": np.dtype},
    "numpy.core.multiarray": MULTIARRAY,
    "numpy._core.multiarray": MULTIARRAY,
}


class _Unpickler(pickle.Unpickler):
    """Finds the names in ALLOWED, imports nothing."""

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        try:
            return ALLOWED[module][name]
        except KeyError:
            raise _Refused(f"{module}.{name}") from None
