"""Enrolled faces and their templates as rows, inside a transaction of the caller."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from sqlalchemy import ColumnElement, Row, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store import persons, tables, vaultkeys
from app.store.errors import EnrolledFaceNotFound
from app.store.sealing import TemplateSeals
from app.types import Box, Detection, Face, Floats, Quality

_f = tables.faces.c
_t = tables.templates.c


@dataclass(frozen=True, slots=True)
class EnrolledFace:
    """A face as it is kept: everything but pixels. `reference` is the caller's word for its
    photo; `image_id` is one for all faces that were enrolled from a picture together, `frame` its
    width and height, where they were noted."""

    id: UUID
    person_id: UUID
    reference: str | None
    detection: Detection
    quality: Quality
    image_id: UUID | None = None
    frame: tuple[int, int] | None = None

    @classmethod
    def new(
        cls, person_id: UUID, face: Face, reference: str | None, image_id: UUID | None = None
    ) -> "EnrolledFace":
        """A face to enrol, with an id of its own."""
        seen = Detection(face.box, face.landmarks, face.score)
        return cls(uuid4(), person_id, reference, seen, face.quality, image_id, face.frame)


@dataclass(frozen=True, slots=True)
class Page:
    """Faces in order of enrolment; `next` is the sequence to go on after, None at the end."""

    faces: Sequence[EnrolledFace]
    next: int | None


@dataclass(frozen=True, slots=True)
class Templates:
    """Templates float32[N, D] by one model, in order of enrolment, and whose they are."""

    face_ids: Sequence[UUID]
    person_ids: Sequence[UUID]
    vectors: Floats


async def get(connection: AsyncConnection, face_id: UUID) -> EnrolledFace:
    """Raises EnrolledFaceNotFound."""
    row = (await connection.execute(select(tables.faces).where(_f.id == face_id))).one_or_none()
    if row is None:
        raise missing(face_id)
    return read(row)


async def home_of(connection: AsyncConnection, face_id: UUID) -> str:
    """The name of the collection that a face is enrolled in. Raises EnrolledFaceNotFound."""
    query = (
        select(tables.collections.c.name)
        .join(tables.faces, _f.collection_id == tables.collections.c.id)
        .where(_f.id == face_id)
    )
    name: str | None = (await connection.execute(query)).scalar_one_or_none()
    if name is None:
        raise missing(face_id)
    return name


async def of_person(connection: AsyncConnection, person_id: UUID) -> list[EnrolledFace]:
    """The faces of a person in order of enrolment. Raises PersonNotFound."""
    await persons.collection_of(connection, person_id)
    query = select(tables.faces).where(_f.person_id == person_id).order_by(_f.sequence)
    return [read(row) for row in await connection.execute(query)]


async def ids_of(connection: AsyncConnection, person_id: UUID) -> list[UUID]:
    """The ids of a person's faces."""
    return list(
        (await connection.execute(select(_f.id).where(_f.person_id == person_id))).scalars()
    )


async def page(
    connection: AsyncConnection, collection_id: UUID, *, after: int, limit: int, skip: int = 0
) -> Page:
    """The faces of a collection that were enrolled after `after`, without the first `skip`."""
    query = (
        select(tables.faces)
        .where(_f.collection_id == collection_id, _f.sequence > after)
        .order_by(_f.sequence)
        .offset(skip)
        .limit(limit + 1)
    )
    rows = (await connection.execute(query)).all()
    shown = rows[:limit]
    return Page([read(row) for row in shown], shown[-1].sequence if len(rows) > limit else None)


async def add(
    connection: AsyncConnection,
    collection_id: UUID,
    model: str,
    new: Sequence[EnrolledFace],
    embeddings: Floats,
) -> None:
    """Faces with their templates, sealed; `embeddings` is float32[len(new), D].

    The collection's row must be locked. Raises TemplateUnreadable when its key does not open.
    """
    key = await vaultkeys.for_writing(connection, collection_id)
    seals = TemplateSeals(collection_id, model, {key.version: key})
    await connection.execute(
        insert(tables.faces),
        [
            {
                "id": face.id,
                "collection_id": collection_id,
                "person_id": face.person_id,
                "bounding_box": list(astuple(face.detection.box)),
                "landmarks": [float(value) for value in face.detection.landmarks.ravel()],
                "detection_score": face.detection.score,
                "quality": asdict(face.quality),
                "reference": face.reference,
                "image_id": face.image_id,
                "image_size": None if face.frame is None else list(face.frame),
            }
            for face in new
        ],
    )
    await connection.execute(
        insert(tables.templates),
        [
            {
                "face_id": face.id,
                "collection_id": collection_id,
                "person_id": face.person_id,
                "model": model,
                "key_version": key.version,
                "vector": seals.seal(key.version, face.id.bytes, to_bytes(embedding)),
            }
            for face, embedding in zip(new, embeddings, strict=True)
        ],
    )


async def move(
    connection: AsyncConnection, collection_id: UUID, face_ids: Sequence[UUID], person_id: UUID
) -> None:
    """Give faces of a collection, with their templates, to a person of it.

    The collection's row must be locked. Raises EnrolledFaceNotFound.
    """
    moved = await connection.execute(
        update(tables.faces)
        .where(_f.id.in_(face_ids), _f.collection_id == collection_id)
        .values(person_id=person_id)
        .returning(_f.id)
    )
    there = set(moved.scalars())
    for face_id in face_ids:
        if face_id not in there:
            raise missing(face_id)


async def move_each(
    connection: AsyncConnection, collection_id: UUID, owners: Mapping[UUID, UUID]
) -> None:
    """Give each of these faces of a collection, with its templates, to its new owner there.

    The collection's row must be locked.
    """
    await connection.execute(
        update(tables.faces)
        .where(_f.id == bindparam("face"), _f.collection_id == collection_id)
        .values(person_id=bindparam("owner")),
        [{"face": face_id, "owner": owner} for face_id, owner in owners.items()],
    )


async def remove_some(
    connection: AsyncConnection, collection_id: UUID, face_ids: Sequence[UUID]
) -> None:
    """Erase faces with their templates, those of them that are there."""
    await connection.execute(
        delete(tables.faces).where(_f.id.in_(face_ids), _f.collection_id == collection_id)
    )


async def remove(connection: AsyncConnection, collection_id: UUID, face_id: UUID) -> None:
    """Erase a face with its templates. Raises EnrolledFaceNotFound."""
    gone = await connection.execute(
        delete(tables.faces).where(_f.id == face_id, _f.collection_id == collection_id)
    )
    if not gone.rowcount:
        raise missing(face_id)


async def remove_all(
    connection: AsyncConnection, collection_id: UUID, person_id: UUID | None
) -> list[UUID]:
    """Erase the faces of a collection, or those of a person of it; their ids."""
    gone = delete(tables.faces).where(_f.collection_id == collection_id)
    if person_id is not None:
        gone = gone.where(_f.person_id == person_id)
    return list((await connection.execute(gone.returning(_f.id))).scalars())


async def templates_of(connection: AsyncConnection, person_id: UUID, model: str) -> Templates:
    """All of a person's. Raises TemplateUnreadable."""
    return await _templates(connection, _t.person_id == person_id, model)


async def templates_by_id(
    connection: AsyncConnection, face_ids: Sequence[UUID], model: str
) -> Templates:
    """Of those of `face_ids` that are there, all of one collection. Raises TemplateUnreadable."""
    return await _templates(connection, _t.face_id.in_(face_ids), model)


async def _templates(
    connection: AsyncConnection, which: ColumnElement[bool], model: str
) -> Templates:
    # One statement for templates and keys: a rotation may end between two.
    query = (
        select(_t.face_id, _t.person_id, _t.vector, _t.key_version, tables.vault_keys)
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
        .where(which, _t.model == model)
        .order_by(_f.sequence)
    )
    rows = (await connection.execute(query)).all()
    if not rows:
        return Templates([], [], np.empty((0, 0), "f4"))
    keys = {row.version: vaultkeys.opened(connection, row) for row in rows if row.wrapped}
    seals = TemplateSeals(rows[0].home, model, keys)
    stored = [(r.face_id.bytes, r.person_id.bytes, r.vector, r.key_version) for r in rows]
    return Templates(
        [row.face_id for row in rows],
        [row.person_id for row in rows],
        seals.rows(stored, rows[0].dimension).vectors,
    )


def to_bytes(embedding: Floats) -> bytes:
    """A template as it is sealed, and as the chain of changes has it: little-endian float32[D]."""
    return embedding.astype("<f4", copy=False).tobytes()


def missing(face_id: UUID) -> EnrolledFaceNotFound:
    return EnrolledFaceNotFound(f"There is no enrolled face {face_id}.", face_id=str(face_id))


def read(row: Row[Any]) -> EnrolledFace:
    """A row of the table."""
    return EnrolledFace(
        row.id,
        row.person_id,
        row.reference,
        Detection(
            Box(*row.bounding_box),
            np.asarray(row.landmarks, np.float32).reshape(5, 2),
            row.detection_score,
        ),
        Quality(**row.quality),
        row.image_id,
        None if row.image_size is None else (row.image_size[0], row.image_size[1]),
    )
