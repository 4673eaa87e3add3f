"""The lists of Labeled Faces in the Wild (Huang et al., 2007), and of an open-set search on it."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.training.errors import TrainingDataError
from models.training.evaluation.people import person_of


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two pictures (paths below ``images``) of one person or of two."""

    first: str
    second: str
    mated: bool


@dataclass(frozen=True, kw_only=True)
class SearchLists:
    """The open-set lists: picture and person to enrol, mated probes likewise, strangers."""

    enrol: tuple[tuple[str, str], ...]
    probes: tuple[tuple[str, str], ...]
    strangers: tuple[str, ...]


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of ``pairs.txt`` (View 2) in file order, which is the protocol.

    Raises TrainingDataError where lines are missing or have another form.
    """
    header, *lines = path.read_text().splitlines() or [""]
    try:
        folds, size = (int(field) for field in header.split())
    except ValueError:
        raise TrainingDataError(
            f"{path} has to begin with the number of folds and of pairs in each, not '{header}'."
        ) from None
    if len(lines) != 2 * folds * size:
        raise TrainingDataError(
            f"{path} promises {2 * folds * size} pairs and has {len(lines)}: it is cut short, or "
            "another list."
        )
    return [_pair(path, number, line.split("\t")) for number, line in enumerate(lines, 2)]


def _pair(path: Path, number: int, fields: Sequence[str]) -> Pair:
    match fields:
        case [name, first, second] if first.isdigit() and second.isdigit():
            return Pair(first=_picture(name, first), second=_picture(name, second), mated=True)
        case [name, first, other, second] if first.isdigit() and second.isdigit():
            return Pair(first=_picture(name, first), second=_picture(other, second), mated=False)
        case _:
            raise TrainingDataError(
                f"{path}, line {number}: a pair is NAME, number, number, or NAME, number, NAME, "
                "number, with tabs between."
            )


def _picture(name: str, number: str) -> str:
    return f"{name}/{name}_{int(number):04d}.jpg"


def read_search(folder: Path) -> SearchLists:
    """``enrol.csv``, ``probes.csv`` and ``non_members.csv`` of ``folder``.

    Raises TrainingDataError where a column is missing or a stranger is enrolled.
    """
    enrol = _rows(folder / "enrol.csv", "image", "person")
    probes = _rows(folder / "probes.csv", "image", "person")
    strangers = _rows(folder / "non_members.csv", "image")
    people = {person for _, person in enrol}
    if known := sorted({person_of(image) for (image,) in strangers} & people):
        raise TrainingDataError(f"{folder}: {known[0]} is enrolled and a stranger at once.")
    return SearchLists(
        enrol=tuple((image, person) for image, person in enrol),
        probes=tuple((image, person) for image, person in probes),
        strangers=tuple(image for (image,) in strangers),
    )


def _rows(path: Path, *columns: str) -> list[list[str]]:
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if missing := set(columns) - set(reader.fieldnames or ()):
            raise TrainingDataError(f"{path} has no column {' and '.join(sorted(missing))}.")
        return [[row[column] for column in columns] for row in reader]
