"""Whole collections on their way out and in, ids and all, inside a transaction of the caller."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import Conflict
from app.store import faces, persons, tables, vaultkeys
from app.store.crops import CropSeals
from app.store.faces import EnrolledFace
from app.store.persons import NewPerson
from app.store.sealing import TemplateSeals

_p = tables.persons.c
_f = tables.faces.c
_t = tables.templates.c
_c = tables.crops.c

_AT_ONCE: Final = 500


class IdTaken(Conflict):
    """A person or a face of this id is in another collection, or the face another person's."""

    code = "id_taken"


@dataclass(frozen=True, slots=True)
class MovingPerson:
    """A person who keeps their id."""

    id: UUID
    said: NewPerson


@dataclass(frozen=True, slots=True)
class MovingFace:
    """A face that keeps its id, with its template, little-endian float32[D], and its crop (PNG)
    where that is kept."""

    face: EnrolledFace
    template: bytes
    crop: bytes | None


async def persons_in(
    connection: AsyncConnection, collection_id: UUID
) -> AsyncIterator[MovingPerson]:
    """All persons of a collection in order of enrolment."""
    query = select(tables.persons).where(_p.collection_id == collection_id).order_by(_p.sequence)
    async for row in _streamed(connection, query):
        yield MovingPerson(row.id, persons.said(row))


async def faces_in(
    connection: AsyncConnection, collection_id: UUID, model: str
) -> AsyncIterator[MovingFace]:
    """All faces of a collection with their templates by `model`, in order of enrolment.

    Raises TemplateUnreadable.
    """
    keys = await vaultkeys.keys_of(connection, collection_id)
    templates, crops = TemplateSeals(collection_id, model, keys), CropSeals(collection_id, keys)
    query = (
        select(
            tables.faces,
            _t.vector,
            _t.key_version,
            _c.picture,
            _c.key_version.label("crop_version"),
        )
        .join(tables.templates, (_t.face_id == _f.id) & (_t.model == model))
        .outerjoin(tables.crops, _c.face_id == _f.id)
        .where(_f.collection_id == collection_id)
        .order_by(_f.sequence)
    )
    async for row in _streamed(connection, query):
        crop = row.picture and crops.open(row.crop_version, row.id, row.picture)
        template = templates.open(row.key_version, row.id.bytes, row.vector)
        yield MovingFace(faces.read(row), template, crop)


async def persons_there(
    connection: AsyncConnection, collection_id: UUID, ids: Collection[UUID]
) -> set[UUID]:
    """Which of these persons are in the collection. Raises IdTaken for one who is in another."""
    query = select(_p.id, _p.collection_id).where(_p.id.in_(ids))
    rows = (await connection.execute(query)).all()
    for row in rows:
        if row.collection_id != collection_id:
            raise IdTaken(
                f"Person {row.id} is in another collection. Import into another installation, or "
                "erase what is there first.",
                person_id=str(row.id),
            )
    return {row.id for row in rows}


async def faces_there(
    connection: AsyncConnection, collection_id: UUID, wanted: Sequence[EnrolledFace]
) -> set[UUID]:
    """Which of these faces are in the collection. Raises IdTaken for one that is elsewhere, or
    another person's."""
    owners = {face.id: face.person_id for face in wanted}
    query = select(_f.id, _f.collection_id, _f.person_id).where(_f.id.in_(owners))
    rows = (await connection.execute(query)).all()
    for row in rows:
        if (row.collection_id, row.person_id) != (collection_id, owners[row.id]):
            raise IdTaken(
                f"Face {row.id} is in another collection, or another person's.",
                face_id=str(row.id),
            )
    return {row.id for row in rows}


async def _streamed(connection: AsyncConnection, query: Select[Any]) -> AsyncIterator[Row[Any]]:
    result = await connection.stream(query.execution_options(yield_per=_AT_ONCE))
    try:
        async for row in result:
            yield row
    finally:
        await result.close()
