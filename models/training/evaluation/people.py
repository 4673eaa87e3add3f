"""Labelled people as a pack sees them: raw photos in a folder a person, or aligned crops."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.types import Floats, Pixels
from app.vision.embed import Recognizer
from app.vision.pack import Pack
from models.training.data import faces, open_source
from models.training.data.folder import ImageFolder
from models.training.errors import TrainingDataError
from models.training.evaluation.photos import decoded, embed, embed_photos


@dataclass(frozen=True, kw_only=True)
class People:
    """n pictures, whom they show, and embeddings float32 [n, D]: length one, NaN without a face."""

    pictures: tuple[str, ...]
    persons: tuple[str, ...]
    rows: Floats

    @property
    def labels(self) -> NDArray[np.int64]:
        """int64 [n], equal where persons are."""
        return np.unique(np.array(self.persons), return_inverse=True)[1].astype(np.int64)

    @property
    def missed(self) -> tuple[str, ...]:
        """Pictures without a face."""
        lost = np.flatnonzero(np.isnan(self.rows[:, 0]))
        return tuple(self.pictures[index] for index in lost)


def person_of(picture: str) -> str:
    """``PERSON/PICTURE`` shows PERSON."""
    return picture.rpartition("/")[0]


def labelled_photos(
    folder: Path,
    *,
    pack: Pack,
    recognizer: Recognizer,
    cache: Path | None = None,
    without: frozenset[str] = frozenset(),
) -> People:
    """Photos through the pack's own detector, but for those of persons ``without``.

    Raises TrainingDataError where no photo is left or one cannot be read.
    """
    names = [name for name in ImageFolder(folder).names if person_of(name) not in without]
    if not names:
        raise TrainingDataError(f"{folder} has nobody but the persons who are to be left out.")
    found = embed_photos(folder, names, part=pack.detector, recognizer=recognizer, cache=cache)
    return People(
        pictures=found.names, persons=tuple(person_of(name) for name in names), rows=found.rows
    )


def labelled_crops(
    path: Path, recognizer: Recognizer, *, without: frozenset[str] = frozenset()
) -> People:
    """Aligned crops of any kind that training reads; larger ones have the crop in their middle.

    Those of persons ``without`` are left out. Raises TrainingDataError where none is left or one
    cannot be read.
    """
    source = open_source(path)
    persons = [source.identities[label] for label in source.labels]
    kept = [index for index, person in enumerate(persons) if person not in without]
    if not kept:
        raise TrainingDataError(f"{path} has nobody but the persons who are to be left out.")
    names = tuple(source.name(index) for index in kept)
    crops = [
        inner(decoded(source.read(index), name), name)
        for index, name in zip(kept, names, strict=True)
    ]
    return People(
        pictures=names,
        persons=tuple(persons[index] for index in kept),
        rows=embed(recognizer, crops),
    )


def inner(pixels: Pixels, name: str) -> Pixels:
    """The inner 112x112 of a square picture. Raises TrainingDataError for other shapes."""
    height, width = pixels.shape[:2]
    if height != width or height < faces.CROP_SIZE or height % 2:
        raise TrainingDataError(
            f"{name} is {width}x{height}: aligned crops are square, even and at least "
            f"{faces.CROP_SIZE}. Align photos with `prepare`, or give them with --photos."
        )
    crop: Pixels = faces.inner(pixels[None])[0]
    return crop
