"""Erase again what an older backup brought back.

Who was erased after a backup returns with it. The access log knows: `python -m app audit export`
writes it as JSON lines, and this goes through them. An id of a person, face or collection is never
given twice, so every line may be repeated, however often and whatever its age. What is erased here
is recorded like any other erasure.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from app.store import audit, collections
from app.store import change as changes
from app.store.audit import Record
from app.store.change import changing
from app.store.database import Database
from app.store.errors import EnrolledFaceNotFound, PersonNotFound, RestoreRefused

_OF_PERSONS = ("person.erase", "person.expire")
_OF_FACES = ("face.erase",)
_OF_COLLECTIONS = ("collection.erase",)


class Entry(BaseModel):
    """What is read of a line of the access log; there is more in it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sequence: int
    action: str
    collection_id: UUID | None = None
    person_ids: tuple[UUID, ...] = ()
    face_ids: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Repeated:
    """What was erased again, and had been in the backup."""

    persons: int
    faces: int
    collections: int


def read(file: Path) -> Sequence[Entry]:
    """The erasures of an exported access log, in their order. Raises RestoreRefused."""
    try:
        entries = list(_entries(file))
    except (OSError, UnicodeDecodeError) as error:
        raise RestoreRefused(f"{file} cannot be read: {error}.") from None
    return sorted(entries, key=lambda entry: entry.sequence)


async def repeat(database: Database, entries: Sequence[Entry]) -> Repeated:
    """Erase it all, each a change of its own, as a caller's request would be.

    Raises DatabaseUnavailable; it may then be called again.
    """
    persons = faces = dropped = 0
    for entry in entries:
        for person_id in entry.person_ids if entry.action in _OF_PERSONS else ():
            persons += await _erase_person(database, entry, person_id)
        for face_id in entry.face_ids if entry.action in _OF_FACES else ():
            faces += await _erase_face(database, entry, face_id)
        if entry.action in _OF_COLLECTIONS and entry.collection_id is not None:
            dropped += await _erase_collection(database, entry, entry.collection_id)
    return Repeated(persons, faces, dropped)


def _entries(file: Path) -> Iterator[Entry]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                entry = Entry.model_validate_json(line)
            except ValidationError as error:
                wrong = "; ".join(
                    f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()
                )
                raise RestoreRefused(
                    f"{file}, line {number}: not an entry of the access log ({wrong}). "
                    "Export it with: python -m app audit export FILE"
                ) from None
            if entry.action in (*_OF_PERSONS, *_OF_FACES, *_OF_COLLECTIONS):
                yield entry


async def _erase_person(database: Database, entry: Entry, person_id: UUID) -> int:
    with contextlib.suppress(PersonNotFound):
        async with changing(database, changes.lock_of_person(person_id)) as change:
            await change.remove_person(person_id)
            change.record = _record(
                entry,
                collection=change.collection.name,
                person_ids=[person_id],
                revision=change.revision,
            )
        return 1
    return 0


async def _erase_face(database: Database, entry: Entry, face_id: UUID) -> int:
    with contextlib.suppress(EnrolledFaceNotFound):
        async with changing(database, changes.lock_of_face(face_id)) as change:
            await change.remove_face(face_id)
            change.record = _record(
                entry,
                collection=change.collection.name,
                face_ids=[face_id],
                revision=change.revision,
            )
        return 1
    return 0


async def _erase_collection(database: Database, entry: Entry, collection_id: UUID) -> int:
    """By its id: its name may be another collection's by now."""
    async with database.transaction() as connection:
        found = await collections.find_by_id(connection, collection_id)
        if found is None:
            return 0
        dropped = await collections.drop(connection, found.name)
        await changes.notify(connection, collection_id)
        record = _record(
            entry,
            collection=found.name,
            collection_id=collection_id,
            persons=dropped.persons,
            faces=dropped.faces,
        )
        await audit.append(connection, [(record.id, record.text())])
    return 1


def _record(entry: Entry, **facts: Any) -> Record:
    """By no key: whoever restores is the operator. `repeats` is the number in the log's chain."""
    return Record(entry.action, None, "restore", {"repeats": entry.sequence, **facts})
