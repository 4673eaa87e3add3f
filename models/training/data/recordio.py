"""MXNet RecordIO, read without mxnet: payloads by key.

A record is the magic number, a word of flag (3 bits) and length (29 bits), the payload and zeros
up to a multiple of four bytes (dmlc-core, ``recordio.h``). Where the magic number itself lies in
the payload at a multiple of four, the writer cuts the record there and drops it; readers put it
back. The ``.idx`` beside the file has the offset of every key.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.training.errors import TrainingDataError

MAGIC: Final = 0xCED7230A
MARK: Final = MAGIC.to_bytes(4, "little")
HEAD: Final = struct.Struct("<II")
LENGTH: Final = (1 << 29) - 1
WHOLE, FIRST, MIDDLE, LAST = range(4)


class Part(NamedTuple):
    """Where a piece of a payload lies in the file."""

    position: int
    length: int


class RecordFile:
    """Records of ``FILE.rec`` by the keys of ``FILE.idx``.

    ``keys`` and ``offsets`` are int64 [n], by key; a record is asked for by its place in them.
    Files are opened for each call, so that threads and processes may share this.

    Raises:
        FileNotFoundError: one of the two files is missing.
        TrainingDataError: the index is damaged or belongs to another file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        index = path.with_suffix(".idx")
        for each in (path, index):
            if not each.is_file():
                raise FileNotFoundError(f"{each} is missing: a set is a .rec and its .idx.")
        self.size = path.stat().st_size
        self.keys, self.offsets = _read_index(index)
        outside = np.flatnonzero((self.offsets < 0) | (self.offsets >= self.size))
        if len(outside):
            place = outside[0]
            raise TrainingDataError(
                f"{index}: key {self.keys[place]} points to offset {self.offsets[place]}, and "
                f"{path} has {self.size} bytes: it was cut short, or the index is another file's."
            )

    def payload(self, place: int) -> bytes:
        """The whole payload of one record. Raises TrainingDataError where the file is damaged."""
        with self.path.open("rb") as file:
            return _joined(file, list(self._parts(file, place)))

    def starts(self, length: int) -> Iterator[tuple[int, bytes, int]]:
        """Place, first ``length`` bytes and size of every payload, in the order of the file.

        Raises TrainingDataError where the file is damaged.
        """
        with self.path.open("rb", buffering=512) as file:
            for place in np.argsort(self.offsets, kind="stable").tolist():
                parts = list(self._parts(file, place))
                size = sum(part.length for part in parts) + len(MARK) * (len(parts) - 1)
                if len(parts) == 1:
                    parts = [Part(parts[0].position, min(length, size))]
                yield place, _joined(file, parts)[:length], size

    def where(self, place: int) -> str:
        """What messages call a record."""
        return f"{self.path}: record at offset {self.offsets[place]} (key {self.keys[place]})"

    def _parts(self, file: BinaryIO, place: int) -> Iterator[Part]:
        offset = int(self.offsets[place])
        expected: tuple[int, ...] = (WHOLE, FIRST)
        while True:
            file.seek(offset)
            head = file.read(HEAD.size)
            if len(head) < HEAD.size:
                raise self._cut(place, offset, HEAD.size)
            magic, word = HEAD.unpack(head)
            flag, length = word >> 29, word & LENGTH
            if magic != MAGIC:
                raise TrainingDataError(
                    f"{self.where(place)}: {magic:#010x} at offset {offset} instead of the magic "
                    f"number {MAGIC:#010x}. The file is damaged or the .idx is another file's."
                )
            if flag not in expected:
                raise TrainingDataError(
                    f"{self.where(place)}: the part at offset {offset} has flag {flag} instead of "
                    f"{' or '.join(map(str, expected))}. The file is damaged or the .idx is "
                    "another file's."
                )
            if offset + HEAD.size + length > self.size:
                raise self._cut(place, offset, HEAD.size + length)
            yield Part(offset + HEAD.size, length)
            if flag in {WHOLE, LAST}:
                return
            expected = (MIDDLE, LAST)
            offset += HEAD.size + (length + 3) // 4 * 4

    def _cut(self, place: int, offset: int, wanted: int) -> TrainingDataError:
        return TrainingDataError(
            f"{self.where(place)}: the file is cut short, {wanted} bytes are wanted from offset "
            f"{offset} on and {max(0, self.size - offset)} are left. Fetch it again."
        )


def _joined(file: BinaryIO, parts: list[Part]) -> bytes:
    contents = []
    for part in parts:
        file.seek(part.position)
        contents.append(file.read(part.length))
    return MARK.join(contents)


def _read_index(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Keys and offsets of an ``.idx``, by key."""
    keys, offsets = [], []
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                key, offset = line.split()
                keys.append(int(key))
                offsets.append(int(offset))
            except ValueError:
                raise TrainingDataError(
                    f"{path}, line {number}: '{line.strip()[:40]}' is no key and offset."
                ) from None
    if not keys:
        raise TrainingDataError(f"{path} is empty. Fetch it again.")
    order = np.argsort(np.array(keys, np.int64), kind="stable")
    ordered = np.array(keys, np.int64)[order]
    twice = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(twice):
        raise TrainingDataError(f"{path} has key {ordered[twice[0]]} twice.")
    return ordered, np.array(offsets, np.int64)[order]
