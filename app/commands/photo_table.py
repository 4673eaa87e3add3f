"""A table of photos: a row a photo, with who is on it and what is to be kept of the person."""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from app.commands.bulk import PersonKey
from app.commands.photo_files import Plan, PlanWrong

# What a column may be called, and what it is here.
COLUMNS: Final = {
    "path": "path",
    "image": "path",
    "photo": "path",
    "file": "path",
    "person": "person",
    "external_id": "external_id",
    "name": "name",
    "consent": "consent",
    "expires_at": "expires_at",
    "metadata": "metadata",
}
METADATA: Final = "metadata."
_DELIMITERS: Final = ",;\t|"
_LONGEST: Final = 500
_FAULTS_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class _Cell:
    line: int
    column: str
    text: str


class _Fault(Exception):
    """What is wrong with a cell."""


def plan_of_table(table: Path, root: Path | None = None) -> Plan:
    """The photos of a CSV file: columns `path` and `person` or `external_id`, and more if wanted.

    root: what the paths are relative to; the table's own folder where it is not given. Raises
    PlanWrong, which names lines and columns.
    """
    root = table.parent if root is None else root
    plan, faults = Plan(), []
    persons: dict[str, dict[str, _Cell]] = {}
    rows: dict[str, list[str]] = {}
    for cells in _rows(table):
        try:
            identity, path = _identity(cells), _required(cells, "path")
        except _Fault as fault:
            faults.append(str(fault))
            continue
        rows.setdefault(identity, []).append(path)
        faults += _join(persons.setdefault(identity, {}), cells)
    people = {}
    for identity, cells in persons.items():
        try:
            people[identity] = _person(identity, cells)
        except _Fault as fault:
            faults.append(str(fault))
    if faults:
        more = f" … and {len(faults) - _FAULTS_SHOWN} more" if len(faults) > _FAULTS_SHOWN else ""
        raise PlanWrong(f"{table}: {'; '.join(faults[:_FAULTS_SHOWN])}{more}. Nothing was sent.")
    for identity, paths in rows.items():
        for path in dict.fromkeys(paths):  # a row that stands there twice is one photo
            plan.add(people[identity], path, root / path)
    if not plan.photos:
        raise PlanWrong(f"{table} has no rows.")
    return plan


def _rows(table: Path) -> Iterator[dict[str, _Cell]]:
    """Each row by column, empty cells left out."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            delimiter = _delimiter(head)
            names = _names(table, next(csv.reader([head], delimiter=delimiter), []))
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            for row in reader:
                line = reader.line_num + 1
                if not any(row):
                    continue
                if len(row) != len(names):
                    raise PlanWrong(
                        f"{table}, line {line}: {len(row)} cells where the first line has "
                        f"{len(names)}."
                    )
                yield {
                    name: _Cell(line, name, text.strip())
                    for name, text in zip(names, row, strict=True)
                    if text.strip()
                }
    except OSError as error:
        raise PlanWrong(f"{table} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise PlanWrong(f"{table} is not UTF-8. Save it as UTF-8.") from None
    except csv.Error as error:
        raise PlanWrong(f"{table} is no CSV: {error}.") from None


def _delimiter(head: str) -> str:
    """The one that makes the most of the first line into columns that are known here."""

    def known(delimiter: str) -> int:
        return sum(_column(name) is not None for name in head.strip().split(delimiter))

    return max(_DELIMITERS, key=known)


def _names(table: Path, head: list[str]) -> list[str]:
    """The columns by what they are here. Raises PlanWrong that names the one at fault."""
    names = []
    for text in head:
        name = _column(text)
        if name is None:
            raise PlanWrong(
                f"{table}, line 1: there is no column '{text}'. Known are "
                f"{', '.join(COLUMNS)} and {METADATA}ANYTHING. (Is the first line the names of "
                "the columns?)"
            )
        if name in names:
            raise PlanWrong(f"{table}, line 1: two columns are {name}.")
        names.append(name)
    if "path" not in names or not {"person", "external_id"} & set(names):
        raise PlanWrong(
            f"{table}, line 1: it needs a column path, and person or external_id to tell whose "
            "photo it is."
        )
    return names


def _column(text: str) -> str | None:
    name = text.strip().strip('"').strip()
    if name.lower().startswith(METADATA) and len(name) > len(METADATA):
        return METADATA + name[len(METADATA) :]
    return COLUMNS.get(name.lower())


def _required(cells: Mapping[str, _Cell], name: str) -> str:
    if name not in cells:
        line = next((cell.line for cell in cells.values()), 0)
        raise _Fault(f"line {line}, column {name}: it is empty")
    return cells[name].text


def _identity(cells: Mapping[str, _Cell]) -> str:
    """What tells persons apart: `external_id`, else `person`."""
    return _required(cells, "external_id" if "external_id" in cells else "person")


def _join(known: dict[str, _Cell], cells: Mapping[str, _Cell]) -> Iterator[str]:
    """Add what a row says of its person; what it says otherwise than a row before is a fault."""
    for name, cell in cells.items():
        if name == "path":
            continue
        first = known.setdefault(name, cell)
        if first.text != cell.text:
            yield (
                f"line {cell.line}, column {name}: line {first.line} says something else of the "
                "same person"
            )


def _person(identity: str, cells: Mapping[str, _Cell]) -> PersonKey:
    """Raises _Fault that names line and column."""
    texts = {name: cell.text for name, cell in cells.items()}
    for name in ("external_id", "person", "name", "consent"):
        if len(texts.get(name, "")) > _LONGEST:
            raise _wrong(cells[name], f"at most {_LONGEST} characters")
    return PersonKey(
        external_id=identity,
        name=texts.get("name") or texts.get("person"),
        metadata=_metadata(cells) or None,
        consent=texts.get("consent"),
        expires_at=_moment(cells["expires_at"]) if "expires_at" in cells else None,
    )


def _metadata(cells: Mapping[str, _Cell]) -> dict[str, Any]:
    found = _object(cells["metadata"]) if "metadata" in cells else {}
    for name, cell in cells.items():
        if name.startswith(METADATA):
            found[name[len(METADATA) :]] = cell.text
    return found


def _object(cell: _Cell) -> dict[str, Any]:
    try:
        found = json.loads(cell.text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _wrong(cell, "a JSON object")
    return found


def _moment(cell: _Cell) -> datetime:
    try:
        moment = datetime.fromisoformat(cell.text.upper())
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None or moment <= datetime.now(moment.tzinfo):
        raise _wrong(cell, "a date and time to come with an offset, as in 2030-01-31T12:00:00Z")
    return moment


def _wrong(cell: _Cell, wanted: str) -> _Fault:
    return _Fault(f"line {cell.line}, column {cell.column}: it should be {wanted}")
