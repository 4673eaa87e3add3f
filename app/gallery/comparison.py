"""Which faces make two sets of templates differ, once their checksums have told that they do."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from app.gallery.checksum import hashes_of
from app.gallery.index import State
from app.types import Rows

SHOWN: Final = 100
"""Faces that are named of each kind; all are counted."""

_Keys = NDArray[Any]
"""Ids or hashes as S16[N]: compared as the 16 bytes that they are."""


@dataclass(frozen=True, slots=True)
class Faces:
    """How many faces there are of a kind, and the first of them by name."""

    count: int = 0
    ids: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Differences:
    """Of an index from what it should hold.

    missing: not in the index. extra: in the index alone. different: in both, but of another
    person or with another vector.
    """

    missing: Faces = Faces()
    extra: Faces = Faces()
    different: Faces = Faces()

    @property
    def count(self) -> int:
        return self.missing.count + self.extra.count + self.different.count


class Comparison:
    """Holds 33 bytes for each template of an index while the rows it should have are shown to it.

    A face that the index holds twice is `extra` once.
    """

    def __init__(self, state: State) -> None:
        faces, hashes = [_keys(np.empty((0, 16), np.uint8))], [_keys(np.empty((0, 16), np.uint8))]
        for rows in state.rows():
            faces.append(_keys(rows.faces))
            hashes.append(_keys(hashes_of(rows)))
        every = np.concatenate(faces)
        order = np.argsort(every)
        self._faces = every[order]
        self._hashes = np.concatenate(hashes)[order]
        self._seen = np.zeros(len(every), dtype=bool)
        self._missing = _Gathered()
        self._different = _Gathered()

    def show(self, rows: Rows) -> None:
        """Some of the rows that the index should have; each is shown once."""
        if not len(rows):
            return
        keys = _keys(rows.faces)
        at = np.searchsorted(self._faces, keys)
        here = at < len(self._faces)
        here[here] = self._faces[at[here]] == keys[here]
        self._seen[at[here]] = True
        self._missing.take(keys[~here])
        same = self._hashes[at[here]] == _keys(hashes_of(rows))[here]
        self._different.take(keys[here][~same])

    def differences(self) -> Differences:
        """What was found, once every row was shown."""
        extra = _Gathered()
        extra.take(self._faces[~self._seen])
        return Differences(self._missing.faces(), extra.faces(), self._different.faces())


class _Gathered:
    """Counts faces, and keeps the names of the first."""

    def __init__(self) -> None:
        self._count = 0
        self._ids: list[UUID] = []

    def take(self, keys: _Keys) -> None:
        self._count += len(keys)
        body = keys[: SHOWN - len(self._ids)].tobytes()
        self._ids += [UUID(bytes=body[at : at + 16]) for at in range(0, len(body), 16)]

    def faces(self) -> Faces:
        return Faces(self._count, tuple(self._ids))


def _keys(bodies: NDArray[np.uint8]) -> _Keys:
    return np.ascontiguousarray(bodies).view("S16").reshape(-1)
