"""What a follower reads: where histories end, what came since, and whole collections."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import UUID

import asyncpg
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store import collections, tables, vaultkeys
from app.store.collections import Collection
from app.store.sealing import TemplateSeals
from app.types import Position, Rows

# A follower further behind loads afresh: cheaper than so many single changes.
MOST_CHANGES: Final = 10_000

# Rows a chunk of a load holds: 8 MB at 512 dimensions.
CHUNK: Final = 4096

_h = tables.changes.c


@dataclass(frozen=True, slots=True)
class LoggedChange:
    """One change as the log has it. `added` holds those templates that are still there."""

    parent: bytes
    position: Position
    added: Rows
    removed: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Since:
    """A collection as it is now, and what brought it there; None if that is not known."""

    collection: Collection
    changes: Sequence[LoggedChange] | None


async def since(
    connection: AsyncConnection,
    collection_id: UUID,
    model: str | None,
    dimension: int,
    position: Position,
) -> Since | None:
    """The changes after `position`, in order, without a gap; None when the collection is gone.

    Must run in one REPEATABLE READ transaction. A template that was added and removed again in
    the meantime is in neither list: what is erased is not shown to anyone.

    Raises TemplateUnreadable.
    """
    now = await collections.find_by_id(connection, collection_id)
    if now is None:
        return None
    behind = now.position.revision - position.revision
    if now.model != model or behind < 0 or behind > MOST_CHANGES:
        return Since(now, None)
    if behind == 0:
        return Since(now, [] if now.position == position else None)
    query = (
        select(tables.changes)
        .where(_h.collection_id == collection_id, _h.revision > position.revision)
        .order_by(_h.revision)
    )
    log = (await connection.execute(query)).all()
    # A log that does not begin where the follower stands was trimmed, or is another history.
    if len(log) != behind or log[0].parent != position.digest:
        return Since(now, None)
    rows = await _templates(connection, now.model, [face for entry in log for face in entry.added])
    seals = await _seals(connection, now)
    changes = []
    erased: set[UUID] = set()  # added in this stretch, and no longer there at its end
    for entry in log:
        removed = [face.bytes for face in entry.removed if face not in erased]
        erased.difference_update(entry.removed)
        erased.update(face for face in entry.added if face not in rows)
        changes.append(
            LoggedChange(
                entry.parent,
                Position(entry.revision, entry.digest),
                seals.rows([rows[face] for face in entry.added if face in rows], dimension),
                np.frombuffer(b"".join(removed), np.uint8).reshape(-1, 16),
            )
        )
    return Since(now, changes)


async def stands_in(
    connection: AsyncConnection, collection: Collection, position: Position
) -> bool:
    """Whether `position` is a point of the collection's history (that is still in the log)."""
    if position in (collection.position, collections.beginning(collection.id)):
        return True
    query = select(_h.revision).where(
        _h.collection_id == collection.id,
        tuple_(_h.revision, _h.digest) == (position.revision, position.digest),
    )
    return (await connection.execute(query)).one_or_none() is not None


async def dimension_of(connection: AsyncConnection, collection: Collection) -> int:
    """D of the collection's model."""
    bound = tables.collection_models.c
    query = select(bound.dimension).where(
        bound.collection_id == collection.id, bound.model == collection.model
    )
    return int((await connection.execute(query)).scalar_one())


async def load(
    connection: AsyncConnection, collection: Collection, dimension: int
) -> AsyncGenerator[Rows]:
    """All templates of a collection by its model, in chunks, through the driver's own cursor.

    Must run in one REPEATABLE READ transaction, and be closed before anything else is asked there
    (contextlib.aclosing). Raises TemplateUnreadable.
    """
    seals = await _seals(connection, collection)
    raw = await connection.get_raw_connection()
    driver = cast("asyncpg.Connection[asyncpg.Record]", raw.driver_connection)
    cursor = await driver.cursor(
        "SELECT uuid_send(face_id), uuid_send(person_id), vector, key_version FROM templates "
        "WHERE collection_id = $1 AND model = $2",
        collection.id,
        collection.model,
    )
    upcoming = asyncio.create_task(cursor.fetch(CHUNK))
    try:
        while stored := await upcoming:
            upcoming = asyncio.create_task(cursor.fetch(CHUNK))  # while these are opened
            yield await asyncio.to_thread(seals.rows, stored, dimension)
    finally:
        upcoming.cancel()
        await asyncio.wait([upcoming])


async def trim(connection: AsyncConnection, kept: int) -> int:
    """Forget all but the last `kept` changes of each collection; how many went."""
    heads = tables.collections.c
    gone = await connection.execute(
        delete(tables.changes).where(
            _h.collection_id == heads.id, _h.revision <= heads.revision - kept
        )
    )
    return gone.rowcount


async def _templates(
    connection: AsyncConnection, model: str | None, faces: Sequence[UUID]
) -> dict[UUID, Sequence[Any]]:
    rows = await connection.execute(
        text(
            "SELECT face_id, uuid_send(face_id), uuid_send(person_id), vector, key_version "
            "FROM templates WHERE model = :model AND face_id = ANY(:faces)"
        ),
        {"model": model, "faces": list(faces)},
    )
    return {row[0]: row[1:] for row in rows}


async def _seals(connection: AsyncConnection, collection: Collection) -> TemplateSeals:
    keys = await vaultkeys.keys_of(connection, collection.id)
    return TemplateSeals(collection.id, collection.model or "", keys)
