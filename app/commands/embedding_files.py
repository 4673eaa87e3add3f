"""Embeddings of somebody's own model, read from NumPy and Parquet files."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.commands.exits import Failed
from app.types import Floats

_NUMBERS: Final = "embedding"
_PERSON: Final = "person"
_OTHERS: Final = ("name", "reference")


@dataclass(frozen=True, slots=True)
class Labelled:
    """Embeddings float32[N, D] of length one, and for each row the person, and perhaps a name and
    a reference."""

    embeddings: Floats
    persons: Sequence[str]
    names: Sequence[str | None]
    references: Sequence[str | None]


def read(file: Path, labels: Path | None) -> Labelled:
    """.npy with `labels`, a CSV of as many rows; .npz with arrays `embedding` and `person`; Parquet
    with columns of those names. `name` and `reference` may stand beside `person`.

    Raises Failed, which names the row.
    """
    try:
        table = _table(file, labels)
    except (OSError, ValueError, KeyError) as error:
        raise _unusable(f"{file} cannot be read: {error}") from None
    return _checked(file, table)


def _table(file: Path, labels: Path | None) -> dict[str, Any]:
    kind = file.suffix.lower()
    if kind == ".npy":
        if labels is None:
            raise _unusable(f"{file} has numbers alone. Name whose they are with --labels FILE.csv")
        # Never a pickle: it would run what is in it.
        return {_NUMBERS: np.load(file, allow_pickle=False), **_columns(labels)}
    if kind == ".npz":
        with np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    if kind == ".parquet":
        return _parquet(file)
    raise _unusable(f"{file} is neither .npy, .npz nor .parquet.")


def _parquet(file: Path) -> dict[str, Any]:
    try:
        import pyarrow.parquet  # 40 MB that few need
    except ImportError:
        raise _unusable("Parquet is read by pyarrow. Run: pip install pyarrow") from None
    table = pyarrow.parquet.read_table(file)
    columns = {name: table.column(name) for name in table.column_names}
    numbers = columns.pop(_NUMBERS, None)
    read = {name: column.to_pylist() for name, column in columns.items()}
    if numbers is not None:
        read[_NUMBERS] = np.asarray(numbers.to_pylist(), dtype=np.float64)
    return read


def _columns(labels: Path) -> dict[str, list[str | None]]:
    with labels.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    names = rows[0].keys() if rows else ()
    return {name: [row[name] or None for row in rows] for name in names}


def _checked(file: Path, table: dict[str, Any]) -> Labelled:
    for name in (_NUMBERS, _PERSON):
        if name not in table:
            raise _unusable(f"{file}: there is no column or array '{name}'.")
    rows = np.asarray(table[_NUMBERS])
    if rows.ndim != 2 or rows.dtype.kind not in "fiu" or not rows.size:
        raise _unusable(f"{file}: '{_NUMBERS}' is no table of numbers.")
    exact = rows.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1, keepdims=True)
    for row in np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)).ravel())[:1]:
        raise _unusable(f"{file}: row {row + 1} is not finite, or only zeros.")
    columns = {name: _texts(file, table, name, len(rows)) for name in (_PERSON, *_OTHERS)}
    persons = [each for each in columns[_PERSON] if each is not None]
    if len(persons) < len(rows):
        raise _unusable(f"{file}: row {columns[_PERSON].index(None) + 1} names no person.")
    unit = (exact / lengths).astype(np.float32)
    return Labelled(unit, persons, columns["name"], columns["reference"])


def _texts(file: Path, table: dict[str, Any], name: str, count: int) -> list[str | None]:
    if name not in table:
        return [None] * count
    texts = [_text(each) for each in table[name]]
    if len(texts) != count:
        raise _unusable(f"{file}: {count} embeddings, and {len(texts)} of '{name}'.")
    return texts


def _text(value: object) -> str | None:
    return None if value is None or str(value) == "" else str(value)


def _unusable(detail: str) -> Failed:
    return Failed("embeddings_unusable", detail)


def each(labelled: Labelled) -> Iterator[tuple[str, str | None, str | None, Floats]]:
    """Person, name, reference and embedding of each row."""
    return zip(
        labelled.persons, labelled.names, labelled.references, labelled.embeddings, strict=True
    )
