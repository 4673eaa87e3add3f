"""Users, as other services call persons with an id of the caller's: who they are, and whose faces.

Inside a transaction of the caller.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store import faces, persons, tables
from app.store.errors import PersonNotFound
from app.store.faces import EnrolledFace
from app.types import Person

_p = tables.persons.c
_f = tables.faces.c


@dataclass(frozen=True, slots=True)
class OwnedFace:
    """An enrolled face, and the external id of its person, None where that has none."""

    face: EnrolledFace
    external_id: str | None


@dataclass(frozen=True, slots=True)
class FacePage:
    """Faces in order of enrolment; `next` is the sequence to go on after, None at the end."""

    faces: Sequence[OwnedFace]
    next: int | None


async def get(connection: AsyncConnection, collection_id: UUID, external_id: str) -> Person:
    """Raises PersonNotFound."""
    query = select(_p.id).where(_p.collection_id == collection_id, _p.external_id == external_id)
    found = (await connection.execute(query)).scalar_one_or_none()
    if found is None:
        raise PersonNotFound("There is no person with this external_id.")
    return await persons.get(connection, found)


async def count(connection: AsyncConnection, collection_id: UUID) -> int:
    query = select(func.count()).where(
        _p.collection_id == collection_id, _p.external_id.is_not(None)
    )
    return (await connection.execute(query)).scalar_one()


async def ids(connection: AsyncConnection, collection_id: UUID) -> Sequence[UUID]:
    query = select(_p.id).where(_p.collection_id == collection_id, _p.external_id.is_not(None))
    return (await connection.execute(query)).scalars().all()


async def owned(
    connection: AsyncConnection, collection_id: UUID, face_ids: Collection[UUID]
) -> Mapping[UUID, OwnedFace]:
    """Those of `face_ids` that are in the collection, and whose person is not past its time."""
    query = _whole(collection_id).where(
        _f.id.in_(face_ids), or_(_p.expires_at.is_(None), _p.expires_at > func.now())
    )
    return {row.id: _read(row) for row in await connection.execute(query)}


async def face_page(
    connection: AsyncConnection,
    collection_id: UUID,
    *,
    after: int,
    limit: int,
    external_id: str | None,
    among: Collection[UUID] | None,
) -> FacePage:
    """Faces enrolled after `after`: of the person with that external id, and of `among`, where they
    are given."""
    query = _whole(collection_id).where(_f.sequence > after)
    if external_id is not None:
        query = query.where(_p.external_id == external_id)
    if among is not None:
        query = query.where(_f.id.in_(among))
    rows = (await connection.execute(query.order_by(_f.sequence).limit(limit + 1))).all()
    shown = rows[:limit]
    return FacePage(
        [_read(row) for row in shown], shown[-1].sequence if len(rows) > limit else None
    )


def _whole(collection_id: UUID) -> Select[Any]:
    return (
        select(tables.faces, _p.external_id)
        .join(tables.persons, _p.id == _f.person_id)
        .where(_f.collection_id == collection_id)
    )


def _read(row: Row[Any]) -> OwnedFace:
    return OwnedFace(faces.read(row), row.external_id)
