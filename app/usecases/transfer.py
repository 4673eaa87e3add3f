"""Take a whole collection to another installation, ids and all: the answers there are the same."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import numpy as np

from app.errors import BadRequest
from app.failpoints import hit
from app.gallery.blocks import NORM_TOLERANCE
from app.gallery.checksum import Checksum, checksum_of
from app.store import collections, history, transfer
from app.store.audit import record_of
from app.store.change import changing, lock_or_make
from app.store.collections import Census
from app.store.transfer import MovingFace, MovingPerson
from app.types import Caller, Floats
from app.usecases.looking import known_to
from app.usecases.rooms import Rooms


class NothingToExport(BadRequest):
    """The collection was never enrolled into, so it has no model and no templates."""

    code = "nothing_to_export"


class TemplateInvalid(BadRequest):
    """A template that is no embedding of length one, or not of the collection's dimension."""

    code = "template_invalid"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A collection at one revision, to be read once, persons before faces."""

    census: Census
    model: str
    dimension: int
    checksum: Checksum
    persons: AsyncIterator[MovingPerson]
    faces: AsyncIterator[MovingFace]


@dataclass(frozen=True, slots=True)
class Incoming:
    """Some of a collection that comes in. Persons of faces come with them or came before."""

    collection: str
    model: str
    persons: Sequence[MovingPerson]
    faces: Sequence[MovingFace]


@dataclass(frozen=True, slots=True)
class Taken:
    """What was new. `revision` is the collection's, whether it is a new one or not."""

    persons: int
    faces: int
    revision: int


@asynccontextmanager
async def exporting(rooms: Rooms, caller: Caller, name: str) -> AsyncIterator[Outgoing]:
    """A collection to be read as long as the block lasts, at one revision.

    `checksum` is over (face, person, template), as audits count it. Raises CollectionNotFound,
    NothingToExport, TemplateUnreadable, DatabaseUnavailable.
    """
    known_to(caller, name)
    async with rooms.database.snapshot() as connection:
        found = await collections.census(connection, name=name)
        if not found:
            raise collections.missing(name)
        [census] = found
        collection = census.collection
        if collection.model is None:
            raise NothingToExport(f"Nobody was ever enrolled in '{name}'.")
        dimension = await history.dimension_of(connection, collection)
        checksum = Checksum()
        async with aclosing(history.load(connection, collection, dimension)) as chunks:
            async for rows in chunks:
                checksum += await asyncio.to_thread(checksum_of, rows)
        await rooms.journal.write(
            record_of(
                caller,
                "collection.export",
                collection=name,
                revision=collection.position.revision,
                persons=census.persons,
                faces=census.faces,
            )
        )
        yield Outgoing(
            census,
            collection.model,
            dimension,
            checksum,
            transfer.persons_in(connection, collection.id),
            transfer.faces_in(connection, collection.id, collection.model),
        )


async def take_in(rooms: Rooms, caller: Caller, batch: Incoming) -> Taken:
    """Enrol what is not there yet, in one change; whatever is there already stays as it is, so a
    batch may come again.

    A new collection is bound to the batch's model, which no pack here need have. Raises
    CollectionNotFound (where the caller may have none of that name), TemplateInvalid, ModelChanged,
    PersonNotFound, IdTaken, ExternalIdTaken; then nothing was changed.
    """
    known_to(caller, batch.collection)
    vectors = _vectors(batch.faces)
    there = await _there(rooms, batch)
    if there is not None:
        return there
    async with changing(rooms.database, lock_or_make(batch.collection)) as change:
        home, connection = change.collection, change.connection
        if home.model is not None and len(vectors):
            _require_dimension(vectors, await history.dimension_of(connection, home))
        known = await transfer.persons_there(connection, home.id, [one.id for one in batch.persons])
        new = [one for one in batch.persons if one.id not in known]
        for one in new:
            await change.add_person(one.said, one.id)
        held = await transfer.faces_there(connection, home.id, [one.face for one in batch.faces])
        coming = [n for n, one in enumerate(batch.faces) if one.face.id not in held]
        if coming:
            faces = [batch.faces[n] for n in coming]
            await change.add_enrolled(batch.model, [one.face for one in faces], vectors[coming])
            crops = [(one.face.id, one.crop) for one in faces if one.crop is not None]
            if crops:
                await change.keep_crops([face for face, _ in crops], [crop for _, crop in crops])
        change.record = record_of(
            caller,
            "collection.import",
            collection=batch.collection,
            model=batch.model,
            persons=len(new),
            faces=len(coming),
            revision=change.revision,
        )
    await rooms.sync.applied(change)
    hit("change.applied")
    return Taken(len(new), len(coming), change.revision)


async def _there(rooms: Rooms, batch: Incoming) -> Taken | None:
    """Where all of it is there already, so that a batch that comes again makes no revision."""
    async with rooms.database.transaction() as connection:
        home = await collections.find(connection, batch.collection)
        if home is None:
            return None
        persons = await transfer.persons_there(connection, home.id, [p.id for p in batch.persons])
        faces = await transfer.faces_there(connection, home.id, [one.face for one in batch.faces])
    if len(persons) < len(batch.persons) or len(faces) < len(batch.faces):
        return None
    return Taken(0, 0, home.position.revision)


def _vectors(faces: Sequence[MovingFace]) -> Floats:
    """float32[N, D]. Raises TemplateInvalid."""
    if len({len(one.template) for one in faces}) > 1:
        raise TemplateInvalid("The templates have different lengths.")
    size = len(faces[0].template) if faces else 0
    if size % 4:
        raise TemplateInvalid("A template is not made of 32-bit numbers.")
    rows = np.frombuffer(b"".join(one.template for one in faces), "<f4")
    vectors = rows.reshape(len(faces), size // 4)
    if not np.all(np.abs(np.linalg.norm(vectors, axis=1) - 1) <= NORM_TOLERANCE):
        raise TemplateInvalid("A template is not of length one.")
    return vectors


def _require_dimension(vectors: Floats, dimension: int) -> None:
    if vectors.shape[1] != dimension:
        raise TemplateInvalid(
            f"The collection's templates have {dimension} numbers, not {vectors.shape[1]}."
        )
