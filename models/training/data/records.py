"""Labelled pictures in a RecordIO file, as InsightFace lays them out."""

import struct
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.training.data.recordio import RecordFile
from models.training.data.source import check_labels, fingerprint_of
from models.training.errors import TrainingDataError

ENTRY: Final = struct.Struct("<IfQQ")  # how many labels follow, or 0; label; two ids
EXACT: Final = 1 << 24  # labels are float32: the largest count that they tell exactly


class Records:
    """Labelled pictures of ``FILE.rec``; identities are named by their labels.

    Record 0 may be a header: no picture but two labels, the key after the last picture and the
    key after the last identity. A set too large for float32 to count has the pictures that its
    records show. Labels are always those of the pictures.

    Raises:
        FileNotFoundError: the file or its .idx is missing.
        TrainingDataError: a file is damaged or cut short, a promised picture is missing, a label
            is not whole, out of range or without pictures.
    """

    def __init__(self, path: Path) -> None:
        self._file = RecordFile(path)
        count = len(self._file.keys)
        labels = np.empty((count, 2))
        begins, sizes = np.empty((2, count), np.int64)
        walk = self._file.starts(ENTRY.size + 8)
        for place, start, size in tqdm(walk, path.name, count, unit="record", disable=None):
            labels[place], begins[place] = self._entry(place, start, size)
            sizes[place] = size
        self._places, classes = _layout(self._file, labels[0], begins < sizes)
        self._begins = begins[self._places]
        found = labels[self._places, 0]
        broken = np.flatnonzero(found != np.floor(found))  # NaN differs from itself
        if len(broken):
            raise TrainingDataError(
                f"{self.name(broken[0])}: label {found[broken[0]]} is not a whole number."
            )
        self.labels = found.astype(np.int64)
        classes = classes or int(self.labels.max()) + 1
        check_labels(self.labels, classes, self.name)
        self.identities = tuple(str(label) for label in range(classes))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over label, key and bytes of every picture."""
        keys = self._file.keys[self._places]
        names = [f"{label}/{key}" for label, key in zip(self.labels, keys, strict=True)]
        return fingerprint_of(names, self.read)

    def name(self, index: int) -> str:
        return self._file.where(int(self._places[index]))

    def read(self, index: int) -> bytes:
        return self._file.payload(int(self._places[index]))[self._begins[index] :]

    def _entry(self, place: int, start: bytes, size: int) -> tuple[tuple[float, float], int]:
        """The first two labels of a payload, NaN for what it lacks, and where its picture is."""
        if size >= ENTRY.size:
            count, label, _, _ = ENTRY.unpack_from(start)
            begin = ENTRY.size + 4 * count
            if begin <= size:
                follow = struct.unpack_from(f"<{min(count, 2)}f", start, ENTRY.size)
                first, second, *_ = (*(follow or (label,)), np.nan, np.nan)
                return (first, second), begin
        raise TrainingDataError(
            f"{self._file.where(place)} has {size} bytes, too few for its labels: the file is no "
            "set of labelled pictures."
        )


def _layout(
    file: RecordFile, header: NDArray[np.float64], filled: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], int | None]:
    """Places of the pictures, and how many identities the header promises, if it says so.

    ``header`` float64 [2] are the labels of the first record; ``filled`` bool [n] tells which
    records have a picture.
    """
    classes = None
    if file.keys[0] != 0 or filled[0] or np.isnan(header).any():
        places = np.arange(len(filled))
    elif len(filled) > EXACT:
        places = np.flatnonzero(filled)
    else:
        first, end = (int(label) for label in header)
        places = np.flatnonzero((file.keys > 0) & (file.keys < first))
        classes = end - first
        if not 0 < len(places) == first - 1:
            raise TrainingDataError(
                f"{file.path}: its header promises pictures with the keys 1 to {first - 1}, the "
                f".idx has {len(places)} of them. Fetch both files again."
            )
    empty = places[~filled[places]]
    if len(empty):
        raise TrainingDataError(f"{file.where(int(empty[0]))} has no picture.")
    return places, classes
