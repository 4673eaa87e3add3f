"""Folders of pictures, a folder a person."""

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np

from models.training.data.source import fingerprint_of
from models.training.errors import TrainingDataError

EXTENSIONS: Final = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


class ImageFolder:
    """``FOLDER/IDENTITY/PICTURE`` of one or several folders, in sorted order.

    Identities and pictures are named by their paths below ``root``: the folder, or what several
    have in common. So ``celeba/train`` and ``families/train`` make identities ``celeba/train/c7``.

    Raises:
        FileNotFoundError: a folder does not exist.
        TrainingDataError: a folder has no pictures or lies within another.
    """

    def __init__(self, *folders: Path) -> None:
        # resolve() would follow links, and they may lead to places that have no common root.
        places = [Path(os.path.abspath(folder)) for folder in folders]  # noqa: PTH100
        _check_apart(places)
        self.root = Path(os.path.commonpath(places))
        self.names = sorted(
            (name for place in places for name in _pictures(place, self.root)),
            key=lambda name: name.split("/"),
        )
        people = [name.rpartition("/")[0] for name in self.names]
        self.identities = tuple(sorted(set(people)))
        number = {identity: label for label, identity in enumerate(self.identities)}
        self.labels = np.array([number[person] for person in people], np.int64)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every picture's path below ``root`` and bytes."""
        return fingerprint_of(self.names, self.read)

    def name(self, index: int) -> str:
        return self.names[index]

    def read(self, index: int) -> bytes:
        return (self.root / self.names[index]).read_bytes()


def _check_apart(folders: list[Path]) -> None:
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"There is no folder {folder}.")
        for other in folders:
            if folder is not other and folder.is_relative_to(other):
                raise TrainingDataError(f"{folder} is in {other}: give folders apart.")


def _pictures(folder: Path, root: Path) -> list[str]:
    """Paths below ``root`` of all pictures of ``folder``, unsorted."""
    prefix = folder.relative_to(root).as_posix()
    start = "" if prefix == "." else prefix + "/"
    with os.scandir(folder) as entries:
        people = [entry.name for entry in entries if entry.is_dir() and entry.name[0] != "."]
    names = [
        f"{start}{person}/{file}" for person in people for file in _picture_files(folder / person)
    ]
    if not names:
        loose = next(_picture_files(folder), None)
        hint = f" {loose} lies in no person's folder." if loose else ""
        raise TrainingDataError(
            f"{folder} is empty: a folder a person is wanted, with pictures in it, as in "
            f"{folder}/NAME/1.jpg ({', '.join(EXTENSIONS)}).{hint}"
        )
    return names


def _picture_files(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name[0] != "." and entry.name.lower().endswith(EXTENSIONS):
                yield entry.name
