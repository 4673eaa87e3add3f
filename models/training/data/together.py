"""Labelled faces and faces of nobody knows whom, as one set."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from models.training.data.faces import Faces, LazyFaces, Pixels
from models.training.errors import TrainingDataError

UNKNOWN = -1


class Together:
    """``known`` faces first, then ``unknown`` ones, whose own labels do not count.

    ``labels`` is int64 [n], ``UNKNOWN`` for the second: a teacher's opinion of a face needs no
    label, a margin loss does. Raises TrainingDataError where the pictures differ in size.
    """

    def __init__(self, known: Faces | LazyFaces, unknown: Faces | LazyFaces) -> None:
        sizes = [part.batch(np.arange(1)).shape[1] for part in (known, unknown)]
        if sizes[0] != sizes[1]:
            raise TrainingDataError(
                f"The labelled pictures are {sizes[0]} pixels wide, those without labels "
                f"{sizes[1]}: prepare both with the same --margin."
            )
        self.known = known
        self.unknown = unknown
        nobody = np.full(len(unknown.labels), UNKNOWN, np.int64)
        self.labels = np.concatenate([known.labels, nobody])
        self.identities = known.identities

    @property
    def fingerprint(self) -> str:
        """Over both sets' fingerprints."""
        both = f"{self.known.fingerprint}\0{self.unknown.fingerprint}"
        return hashlib.sha256(both.encode()).hexdigest()

    def batch(self, rows: NDArray[np.int64]) -> Pixels:
        """The pictures of these rows, in their order: uint8 [B, S, S, 3]."""
        first = len(self.known.labels)
        known = rows < first
        if known.all():
            return self.known.batch(rows)
        others = self.unknown.batch(rows[~known] - first)
        pictures = np.empty((len(rows), *others.shape[1:]), np.uint8)
        pictures[~known] = others
        pictures[known] = self.known.batch(rows[known])
        return pictures
