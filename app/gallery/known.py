"""A filter that tells of most new ids that they are new, without a look at the gallery."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.gallery.blocks import Ids

_BITS_AN_ID = 16
"""With one bit set of so many, one new id in sixteen at most is taken for an old one."""

_FEWEST = 1024


class Known:
    """Of ids uint64[2, N] those that may be there: never wrong about one that is.

    Between two and four bytes for each id that it was made for; from `full` on it tells less.
    Not for two threads at a time.
    """

    def __init__(self, parts: Sequence[Ids]) -> None:
        count = int(sum(part.shape[1] for part in parts))
        bits: int = (_BITS_AN_ID * max(_FEWEST, count)).bit_length()
        self._shift = np.uint64(64 - bits)
        self._bytes: NDArray[np.uint8] = np.zeros((1 << bits) // 8, dtype=np.uint8)
        self._room = (1 << bits) // _BITS_AN_ID
        self._count = 0
        for part in parts:
            self.add(part)

    @property
    def full(self) -> bool:
        return self._count > self._room

    def add(self, ids: Ids) -> None:
        places, bits = self._places(ids)
        np.bitwise_or.at(self._bytes, places, bits)
        self._count += ids.shape[1]

    def perhaps(self, ids: Ids) -> Ids:
        """Those of `ids` that may be there."""
        places, bits = self._places(ids)
        return ids[:, (self._bytes[places] & bits) != 0]

    def _places(self, ids: Ids) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
        """Byte and bit of each id: Fibonacci hashing of both halves."""
        odd = np.uint64(0x9E3779B97F4A7C15)
        numbers = ((ids[0] * odd + ids[1]) * odd) >> self._shift
        return numbers >> np.uint64(3), np.uint8(1) << (numbers & np.uint64(7)).astype(np.uint8)
