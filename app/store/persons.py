"""Persons and their faces as rows, read and edited inside a transaction of the caller."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

import numpy as np
from sqlalchemy import Row, Select, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store import tables, vaultkeys
from app.store.database import Database
from app.store.errors import EnrolledFaceNotFound, ExternalIdTaken, PersonNotFound
from app.store.sealing import TemplateSeals
from app.types import Box, Detection, Face, Floats, Person, Quality

_p = tables.persons.c
_f = tables.faces.c
_t = tables.templates.c

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
class EnrolledFace:
    """A face as it is kept: everything but pixels."""

    id: UUID
    detection: Detection
    quality: Quality


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
    external_id: str | None,
    name: str | None,
) -> Page:
    """Persons enrolled after `after`. `name` matches a part, whatever its case."""
    query = _whole().where(_p.collection_id == collection_id, _p.sequence > after)
    if external_id is not None:
        query = query.where(_p.external_id == external_id)
    if name is not None:
        query = query.where(_p.name.icontains(name, autoescape=True))
    rows = (await connection.execute(query.order_by(_p.sequence).limit(limit + 1))).all()
    shown = rows[:limit]
    return Page([_read(row) for row in shown], shown[-1].sequence if len(rows) > limit else None)


async def add(connection: AsyncConnection, collection_id: UUID, person: NewPerson) -> UUID:
    """Raises ExternalIdTaken."""
    if person.external_id is not None:
        holder = (
            await connection.execute(
                select(_p.id).where(
                    _p.collection_id == collection_id, _p.external_id == person.external_id
                )
            )
        ).scalar_one_or_none()
        if holder is not None:
            raise _taken(holder)
    person_id = uuid4()
    await connection.execute(
        insert(tables.persons).values(
            id=person_id,
            collection_id=collection_id,
            name=person.name,
            external_id=person.external_id,
            metadata=dict(person.metadata or {}),
            consent=person.consent,
            expires_at=person.expires_at,
        )
    )
    return person_id


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


async def add_faces(
    connection: AsyncConnection,
    *,
    collection_id: UUID,
    person_id: UUID,
    model: str,
    faces: Sequence[Face],
    embeddings: Floats,
) -> list[UUID]:
    """Faces with their templates, sealed; `embeddings` is float32[len(faces), D].

    The collection's row must be locked. Raises TemplateUnreadable when its key does not open.
    """
    ids = [uuid4() for _ in faces]
    key = await vaultkeys.for_writing(connection, collection_id)
    seals = TemplateSeals(collection_id, model, {key.version: key})
    owner = {"collection_id": collection_id, "person_id": person_id}
    await connection.execute(
        insert(tables.faces),
        [
            {
                **owner,
                "id": face_id,
                "bounding_box": [face.box.x, face.box.y, face.box.width, face.box.height],
                "landmarks": [float(value) for value in face.landmarks.ravel()],
                "detection_score": face.score,
                "quality": asdict(face.quality),
            }
            for face_id, face in zip(ids, faces, strict=True)
        ],
    )
    await connection.execute(
        insert(tables.templates),
        [
            {
                **owner,
                "face_id": face_id,
                "model": model,
                "key_version": key.version,
                "vector": seals.seal(key.version, face_id.bytes, to_bytes(embedding)),
            }
            for face_id, embedding in zip(ids, embeddings, strict=True)
        ],
    )
    return ids


async def faces_of(connection: AsyncConnection, person_id: UUID) -> list[EnrolledFace]:
    """The faces of a person in order of enrolment. Raises PersonNotFound."""
    await collection_of(connection, person_id)
    query = select(tables.faces).where(_f.person_id == person_id).order_by(_f.sequence)
    return [
        EnrolledFace(
            row.id,
            Detection(
                Box(*row.bounding_box),
                np.asarray(row.landmarks, np.float32).reshape(5, 2),
                row.detection_score,
            ),
            Quality(**row.quality),
        )
        for row in await connection.execute(query)
    ]


async def templates_of(
    connection: AsyncConnection, person_id: UUID, model: str
) -> tuple[list[UUID], Floats]:
    """Face ids and their templates float32[N, D] by one model, in order of enrolment.

    Raises TemplateUnreadable.
    """
    # One statement for templates and keys: a rotation may end between two.
    query = (
        select(_t.face_id, _t.vector, _t.key_version, tables.vault_keys)
        .join(tables.faces, _f.id == _t.face_id)
        .outerjoin(
            tables.vault_keys,
            (tables.vault_keys.c.collection_id == _t.collection_id)
            & (tables.vault_keys.c.version == _t.key_version),
        )
        .join(
            tables.collection_models,
            (tables.collection_models.c.collection_id == _t.collection_id)
            & (tables.collection_models.c.model == _t.model),
        )
        .add_columns(_t.collection_id.label("home"), tables.collection_models.c.dimension)
        .where(_t.person_id == person_id, _t.model == model)
        .order_by(_f.sequence)
    )
    rows = (await connection.execute(query)).all()
    if not rows:
        return [], np.empty((0, 0), "f4")
    keys = {row.version: vaultkeys.opened(connection, row) for row in rows if row.wrapped}
    seals = TemplateSeals(rows[0].home, model, keys)
    stored = [(row.face_id.bytes, person_id.bytes, row.vector, row.key_version) for row in rows]
    return [row.face_id for row in rows], seals.rows(stored, rows[0].dimension).vectors


def to_bytes(embedding: Floats) -> bytes:
    """A template as it is sealed, and as the chain of changes has it: little-endian float32[D]."""
    return embedding.astype("<f4", copy=False).tobytes()


def missing(person_id: UUID) -> PersonNotFound:
    return PersonNotFound(f"There is no person {person_id}.", person_id=str(person_id))


def face_missing(face_id: UUID) -> EnrolledFaceNotFound:
    return EnrolledFaceNotFound(f"There is no enrolled face {face_id}.", face_id=str(face_id))


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
