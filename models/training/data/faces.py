"""Pictures of aligned faces, decoded: all at once into memory, or when they are asked for."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray

from models.training.data.source import Labels, Source, check_people, in_order
from models.training.errors import TrainingDataError

CROP_SIZE: Final = 112
SHARE: Final = 0.5  # of the free memory that pictures may take
CGROUP_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")
LOOKED_AT: Final = 512  # pictures that the test of colours looks at
LEAST_COLOURED: Final = 100  # fewer prove nothing
LEAST_WARM: Final = 0.1

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Faces:
    """Aligned faces of labelled people, in memory.

    ``pictures`` is uint8 [n, S, S, 3], RGB, S even and at least 112; the inner 112x112 is the
    ``arcface-112`` crop. ``labels`` is int64 [n], an index into ``identities``. ``fingerprint``
    is the source's.
    """

    pictures: Pixels
    labels: Labels
    identities: tuple[str, ...]
    fingerprint: str

    def batch(self, rows: NDArray[np.int64]) -> Pixels:
        """The pictures of these rows, copied: uint8 [B, S, S, 3]."""
        return self.pictures[rows]

    def crops(self) -> Pixels:
        """The aligned crops, a view: uint8 [n, 112, 112, 3]."""
        return inner(self.pictures)


class LazyFaces:
    """As Faces, but pictures are read and decoded by threads when they are asked for."""

    def __init__(self, source: Source, threads: int | None = None) -> None:
        check_people(source.labels, source.identities)
        self.labels = source.labels
        self.identities = source.identities
        self.size = picture_size(source)
        self._source = source
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        check_colours(self.batch(_sample(len(self.labels))))

    @cached_property
    def fingerprint(self) -> str:
        """The source's: every picture is read for it, once."""
        return self._source.fingerprint

    def batch(self, rows: NDArray[np.int64]) -> Pixels:
        """The pictures of these rows: uint8 [B, S, S, 3]. Raises TrainingDataError."""
        pictures = np.empty((len(rows), self.size, self.size, 3), np.uint8)

        def decode(place: int) -> None:
            pictures[place] = _picture(self._source, int(rows[place]), self.size)

        for _ in self._pool.map(decode, range(len(rows))):
            pass
        return pictures


def load_faces(source: Source) -> Faces:
    """Decode all pictures of ``source`` into memory.

    Raises TrainingDataError: a picture is unreadable or of another size than the rest, red and
    blue are swapped, or there are no two people with two pictures.
    """
    check_people(source.labels, source.identities)
    size = picture_size(source)
    pictures = np.empty((len(source.labels), size, size, 3), np.uint8)

    def decode(index: int) -> None:
        pictures[index] = _picture(source, index, size)

    for _ in in_order(decode, len(pictures), "decode"):
        pass
    check_colours(pictures[_sample(len(pictures))])
    return Faces(
        pictures=pictures,
        labels=source.labels,
        identities=source.identities,
        fingerprint=source.fingerprint,
    )


def fits_in_memory(source: Source) -> bool:
    """Whether all pictures, decoded, take at most half of the free memory."""
    return len(source.labels) * picture_size(source) ** 2 * 3 <= SHARE * _free_memory()


def decode_face(content: bytes, name: str) -> Pixels:
    """The pixels of an encoded picture: uint8 [H, W, 3], RGB.

    Grey becomes RGB, 16 bits become 8, transparency is dropped. Raises TrainingDataError that
    begins with ``name`` where the picture cannot be read to its end.
    """
    picture = None
    if content:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise TrainingDataError(
            f"{name}: the image is unreadable ({len(content)} bytes). Remove it or fetch it again."
        )
    return np.asarray(picture, np.uint8)


def picture_size(source: Source) -> int:
    """Side of the first picture in pixels. Raises TrainingDataError if it breaks the contract."""
    height, width = decode_face(source.read(0), source.name(0)).shape[:2]
    if height != width or height % 2 or height < CROP_SIZE:
        raise TrainingDataError(
            f"{source.name(0)} has the wrong size, {width}x{height} pixels: training takes "
            f"squares of an even side, {CROP_SIZE} or more, with the aligned crop in their middle. "
            "Make them from photos with `python -m models.training prepare`."
        )
    return int(height)


def inner(pictures: Pixels) -> Pixels:
    """The inner 112x112 of pictures uint8 [n, S, S, 3], a view."""
    rim = (pictures.shape[1] - CROP_SIZE) // 2
    return pictures[:, rim : rim + CROP_SIZE, rim : rim + CROP_SIZE]


def check_colours(pictures: Pixels) -> None:
    """Raise TrainingDataError where faces are blue: red and blue were swapped in the files.

    ``pictures``: uint8 [n, S, S, 3]. Skin reflects more red than blue whoever's it is: of 700
    coloured pictures of CelebA and Families in the Wild 99.7 % are warmer than grey inside the
    face. Grey pictures say nothing, and neither do a few.
    """
    quarter = pictures.shape[1] // 4
    faces = pictures[:, quarter:-quarter, quarter:-quarter]
    warmth = (faces[..., 0].astype(np.int16) - faces[..., 2]).mean(axis=(1, 2))
    coloured = warmth[np.abs(warmth) >= 1]
    if len(coloured) >= LEAST_COLOURED and (coloured > 0).mean() < LEAST_WARM:
        raise TrainingDataError(
            f"The colour order is wrong: {np.mean(coloured < 0):.0%} of the faces looked at are "
            "bluer than red, so red and blue were swapped when the files were written. Write them "
            "again from RGB pixels (OpenCV's imwrite wants BGR)."
        )


def _picture(source: Source, index: int, size: int) -> Pixels:
    picture = decode_face(source.read(index), source.name(index))
    if picture.shape != (size, size, 3):
        height, width = picture.shape[:2]
        raise TrainingDataError(
            f"{source.name(index)} has the wrong size, {width}x{height} pixels where others have "
            f"{size}x{size}. Prepare all pictures alike."
        )
    return picture


def _sample(count: int) -> NDArray[np.int64]:
    """At most LOOKED_AT rows, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, LOOKED_AT)).astype(np.int64))


def _free_memory() -> int:
    """Bytes that may still be taken; in a container no more than its limit."""
    free = int(psutil.virtual_memory().available)
    limit = CGROUP_LIMIT.read_text().strip() if CGROUP_LIMIT.exists() else "max"
    return free if limit == "max" else min(free, int(limit))
