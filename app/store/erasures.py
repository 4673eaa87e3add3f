"""Erase again what an older backup brought back.

Who was erased after a backup returns with it. The access log knows: `python -m app audit export`
writes it as JSON lines, and this goes through them. Ids of persons and faces are never given
twice, so every line may be repeated, however often and whatever its age.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from app.store import change as changes
from app.store import collections
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
    at: AwareDatetime
    action: str
    collection: str | None = None
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
        if entry.action in _OF_PERSONS:
            for person_id in entry.person_ids:
                persons += await _erase_person(database, person_id)
        elif entry.action in _OF_FACES:
            for face_id in entry.face_ids:
                faces += await _erase_face(database, face_id)
        elif entry.collection is not None:
            dropped += await _erase_collection(database, entry.collection, entry.at)
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


async def _erase_person(database: Database, person_id: UUID) -> int:
    lock = partial(changes.lock_of_person, person_id=person_id)
    with contextlib.suppress(PersonNotFound):
        async with changing(database, lock) as change:
            await change.remove_person(person_id)
        return 1
    return 0


async def _erase_face(database: Database, face_id: UUID) -> int:
    lock = partial(changes.lock_of_face, face_id=face_id)
    with contextlib.suppress(EnrolledFaceNotFound):
        async with changing(database, lock) as change:
            await change.remove_face(face_id)
        return 1
    return 0


async def _erase_collection(database: Database, name: str, at: AwareDatetime) -> int:
    """A name may be given again, so only a collection that is older than its erasure goes."""
    async with database.transaction() as connection:
        found = await collections.find(connection, name)
        if found is None or found.created_at > at:
            return 0
        await collections.drop(connection, name)
        await changes.notify(connection, found.id)
    return 1
