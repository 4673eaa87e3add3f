"""Persons as rows, read and edited inside a transaction of the caller."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import Row, Select, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store import tables
from app.store.database import Database
from app.store.errors import ExternalIdTaken, PersonNotFound
from app.types import Person

_p = tables.persons.c
_f = tables.faces.c

_EXTERNAL_ID_KEY: Final = "persons_collection_id_external_id_key"

_MANY: Final = """
SELECT p.id, c.name AS collection, p.name, p.external_id, p.metadata, p.consent, p.expires_at,
    (SELECT count(*) FROM faces f WHERE f.person_id = p.id) AS face_count
FROM persons p JOIN collections c ON c.id = p.collection_id
WHERE p.id = ANY($1) AND (p.expires_at IS NULL OR p.expires_at > now())
"""


@dataclass(frozen=True, slots=True)
class NewPerson:
    """What a caller says of a person; everything may be missing."""

    name: str | None = None
    external_id: str | None = None
    metadata: Mapping[str, Any] | None = None
    consent: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Persons in order of enrolment; `next` is the sequence to go on after, None at the end."""

    persons: Sequence[Person]
    next: int | None


async def get(connection: AsyncConnection, person_id: UUID) -> Person:
    """Raises PersonNotFound."""
    row = (await connection.execute(_whole().where(_p.id == person_id))).one_or_none()
    if row is None:
        raise missing(person_id)
    return _read(row)


async def many(database: Database, ids: Collection[UUID], patience: float) -> dict[UUID, Person]:
    """Those of `ids` that are enrolled still, and not past their time, read in one roundtrip.

    Raises DatabaseUnavailable after `patience` seconds.
    """
    rows = await database.fetch(_MANY, list(ids), patience=patience)
    return {row["id"]: Person(**{**row, "metadata": json.loads(row["metadata"])}) for row in rows}


async def expired(connection: AsyncConnection, limit: int) -> Sequence[UUID]:
    """Persons past their time, longest first."""
    query = select(_p.id).where(_p.expires_at <= func.now()).order_by(_p.expires_at).limit(limit)
    return (await connection.execute(query)).scalars().all()


async def is_expired(connection: AsyncConnection, person_id: UUID) -> bool:
    """Whether a person is past their time; the row stays locked, so that it remains true."""
    query = select(_p.id).where(_p.id == person_id, _p.expires_at <= func.now()).with_for_update()
    return (await connection.execute(query)).scalar_one_or_none() is not None


async def page(
    connection: AsyncConnection,
    collection_id: UUID,
    *,
    after: int,
    limit: int,
    external_id: str | None = None,
    name: str | None = None,
    with_external_id: bool = False,
) -> Page:
    """Persons enrolled after `after`. `name` matches a part, whatever its case; those without any
    external id may be left out."""
    query = _whole().where(_p.collection_id == collection_id, _p.sequence > after)
    if with_external_id:
        query = query.where(_p.external_id.is_not(None))
    if external_id is not None:
        query = query.where(_p.external_id == external_id)
    if name is not None:
        query = query.where(_p.name.icontains(name, autoescape=True))
    rows = (await connection.execute(query.order_by(_p.sequence).limit(limit + 1))).all()
    shown = rows[:limit]
    return Page([_read(row) for row in shown], shown[-1].sequence if len(rows) > limit else None)


async def add(
    connection: AsyncConnection, collection_id: UUID, person_id: UUID, person: NewPerson
) -> NewPerson:
    """The person as stored: JSON has other words for some numbers. Raises ExternalIdTaken."""
    values = {
        "id": person_id,
        "collection_id": collection_id,
        "name": person.name,
        "external_id": person.external_id,
        "metadata": dict(person.metadata or {}),
        "consent": person.consent,
        "expires_at": person.expires_at,
    }
    query = (
        upsert(tables.persons)
        .values(values)
        .on_conflict_do_nothing(constraint=_EXTERNAL_ID_KEY)
        .returning(tables.persons)
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        mine = (_p.collection_id == collection_id) & (_p.external_id == person.external_id)
        holder = await connection.execute(select(_p.id).where(mine))
        raise _taken(holder.scalar_one_or_none())
    return said(row)


def said(row: Row[Any]) -> NewPerson:
    """What the caller said of the person of a row."""
    return NewPerson(row.name, row.external_id, row.metadata, row.consent, row.expires_at)


async def add_unnamed(
    connection: AsyncConnection,
    collection_id: UUID,
    count: int,
    *,
    consent: str | None = None,
    expires_at: datetime | None = None,
) -> list[UUID]:
    """So many persons of whom nothing is said but consent and until when they may be kept."""
    ids = [uuid4() for _ in range(count)]
    await connection.execute(
        insert(tables.persons),
        [
            {
                "id": person_id,
                "collection_id": collection_id,
                "metadata": {},
                "consent": consent,
                "expires_at": expires_at,
            }
            for person_id in ids
        ],
    )
    return ids


async def remove_unnamed(connection: AsyncConnection, ids: Collection[UUID]) -> None:
    """Erase those of `ids` who have neither a face left nor a name, external id or metadata."""
    face = select(_f.id).where(_f.person_id == _p.id).exists()
    await connection.execute(
        delete(tables.persons).where(
            _p.id.in_(ids),
            _p.name.is_(None),
            _p.external_id.is_(None),
            _p.metadata == {},
            ~face,
        )
    )


async def edit(connection: AsyncConnection, person_id: UUID, values: Mapping[str, Any]) -> Person:
    """Set the given columns. Raises PersonNotFound, ExternalIdTaken."""
    if values:
        try:
            async with connection.begin_nested():
                await connection.execute(
                    update(tables.persons)
                    .where(_p.id == person_id)
                    .values(**values, updated_at=func.now())
                )
        except IntegrityError as error:
            cause = None if error.orig is None else error.orig.__cause__
            if getattr(cause, "constraint_name", None) != _EXTERNAL_ID_KEY:
                raise
            raise _taken(None) from error
    return await get(connection, person_id)


async def collection_of(connection: AsyncConnection, person_id: UUID) -> UUID:
    """The id of the collection that a person is in. Raises PersonNotFound."""
    query = select(_p.collection_id).where(_p.id == person_id)
    found: UUID | None = (await connection.execute(query)).scalar_one_or_none()
    if found is None:
        raise missing(person_id)
    return found


async def remove(connection: AsyncConnection, collection_id: UUID, person_id: UUID) -> None:
    """Erase a person with everything that hangs on it. Raises PersonNotFound."""
    gone = await connection.execute(
        delete(tables.persons).where(_p.id == person_id, _p.collection_id == collection_id)
    )
    if not gone.rowcount:
        raise missing(person_id)


def missing(person_id: UUID) -> PersonNotFound:
    return PersonNotFound(f"There is no person {person_id}.", person_id=str(person_id))


def _taken(holder: UUID | None) -> ExternalIdTaken:
    """`holder` is whoever has it, where that is known."""
    facts = {} if holder is None else {"person_id": str(holder)}
    return ExternalIdTaken(
        "This external_id belongs to another person of the collection. To add photos to that "
        "person, send its person_id instead.",
        **facts,
    )


def _whole() -> Select[Any]:
    counted = select(func.count()).where(_f.person_id == _p.id).scalar_subquery()
    return select(
        tables.persons, tables.collections.c.name.label("collection"), counted.label("face_count")
    ).join(tables.collections, tables.collections.c.id == _p.collection_id)


def _read(row: Row[Any]) -> Person:
    return Person(
        id=row.id,
        collection=row.collection,
        name=row.name,
        external_id=row.external_id,
        metadata=row.metadata,
        consent=row.consent,
        expires_at=row.expires_at,
        face_count=row.face_count,
    )
