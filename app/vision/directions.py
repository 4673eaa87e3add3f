"""A recognizer's answers as directions: rows of length one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.types import Floats
from app.vision.errors import EmbeddingFailed


def normalised(raw: Floats) -> Floats:
    """Rows float32[N, D] at length one. Raises EmbeddingFailed where one is NaN or zero.

    A template that is no direction would match nobody, or poison a search: it is never stored.
    """
    lengths: NDArray[np.float32] = np.linalg.norm(raw, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not (lengths > 1e-6).all():
        raise EmbeddingFailed(
            "The recognizer gave no usable embedding for a face. If this happens again, the pack "
            "or the device is at fault."
        )
    return np.asarray(raw / lengths, dtype=np.float32)


def unit_rows(raw: Floats, counts: Sequence[int]) -> list[Floats | Exception]:
    """`normalised` for each of the requests that share `raw`, `counts` rows each; an
    EmbeddingFailed in the place of those that are none."""
    ends = np.cumsum(counts)[:-1]
    return [_normalised_or_not(rows) for rows in np.split(raw, ends)]


def _normalised_or_not(raw: Floats) -> Floats | Exception:
    try:
        return normalised(raw)
    except EmbeddingFailed as error:
        return error
