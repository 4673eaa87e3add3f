"""Bring everything of a collection under its newest key, a few rows at a time, while it is used.

This is the second half of a rotation, and how templates that an older version stored in plain
come to be sealed. Each batch is a short transaction that holds the collection's row, as any change
does: so it waits for writers and writers for it, never for long, and nobody deadlocks. Followers
read whichever version a row has. It may stop anywhere and be begun again, by any process.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, Integer, LargeBinary, Text, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store import collections, vaultkeys
from app.store.crops import CropSeals
from app.store.database import Database
from app.store.sealing import TemplateSeals
from app.vault import DataKey

BATCH: Final = 256
# Writers of the collection come in between.
_PAUSE_SECONDS: Final = 0.005
# A batch takes milliseconds; this is for a disk that is busy with something else.
_PATIENCE: Final = 30.0

_STALE_TEMPLATES: Final = text(
    "SELECT face_id, model, key_version, vector FROM templates WHERE collection_id = :collection "
    "AND (key_version IS NULL OR key_version < :newest) LIMIT :batch"
)
_STALE_CROPS: Final = text(
    "SELECT face_id, key_version, picture FROM crops WHERE collection_id = :collection "
    "AND key_version < :newest LIMIT :batch"
)
_RESEAL_TEMPLATES: Final = text(
    "UPDATE templates t SET vector = new.vector, key_version = :newest "
    "FROM unnest(:faces, :models, :bodies) AS new (face_id, model, vector) "
    "WHERE t.face_id = new.face_id AND t.model = new.model"
).bindparams(
    bindparam("faces", type_=ARRAY(Uuid)),
    bindparam("models", type_=ARRAY(Text)),
    bindparam("bodies", type_=ARRAY(LargeBinary)),
    bindparam("newest", type_=Integer),
)
_RESEAL_CROPS: Final = text(
    "UPDATE crops c SET picture = new.picture, key_version = :newest "
    "FROM unnest(:faces, :bodies) AS new (face_id, picture) WHERE c.face_id = new.face_id"
).bindparams(
    bindparam("faces", type_=ARRAY(Uuid)),
    bindparam("bodies", type_=ARRAY(LargeBinary)),
    bindparam("newest", type_=Integer),
)


@dataclass(frozen=True, slots=True)
class Resealed:
    """What was done for one collection."""

    templates: int
    crops: int
    keys_destroyed: int


async def rotate(database: Database, collection_id: UUID) -> Resealed:
    """Give the collection a new key, bring everything under it, and destroy the older ones.

    A collection without a model has nothing to seal and is left as it is. Raises
    DatabaseUnavailable, and TemplateUnreadable for a row that does not open: the older key stays
    then.
    """
    async with database.transaction(_PATIENCE) as connection:
        collection = await collections.lock_by_id(connection, collection_id)
        if collection is None or collection.model is None:
            return Resealed(0, 0, 0)
        await vaultkeys.add_version(connection, collection_id)
    return await reseal(database, collection_id)


async def reseal(database: Database, collection_id: UUID) -> Resealed:
    """Bring everything of a collection under its newest key. Raises as `rotate`."""
    templates = crops = 0
    while True:
        async with database.transaction(_PATIENCE) as connection:
            collection = await collections.lock_by_id(connection, collection_id)
            if collection is None or collection.model is None:
                return Resealed(templates, crops, 0)
            key = await vaultkeys.for_writing(connection, collection_id)
            keys = await vaultkeys.keys_of(connection, collection_id)
            done = await _templates(connection, collection_id, key, keys)
            templates += done
            if not done:
                done = await _crops(connection, collection_id, key, keys)
                crops += done
            if not done:
                destroyed = await vaultkeys.drop_unused(connection, collection_id)
                return Resealed(templates, crops, destroyed)
        await asyncio.sleep(_PAUSE_SECONDS)


async def _templates(
    connection: AsyncConnection, collection_id: UUID, key: DataKey, keys: dict[int, DataKey]
) -> int:
    rows = await _stale(connection, _STALE_TEMPLATES, collection_id, key)
    seals = {model: TemplateSeals(collection_id, model, keys) for model in {r.model for r in rows}}

    def again(row: Any) -> bytes:
        face = row.face_id.bytes
        plain = seals[row.model].open(row.key_version, face, row.vector)
        return seals[row.model].seal(key.version, face, plain)

    if rows:
        values = {
            "faces": [row.face_id for row in rows],
            "models": [row.model for row in rows],
            "bodies": [again(row) for row in rows],
            "newest": key.version,
        }
        await connection.execute(_RESEAL_TEMPLATES, values)
    return len(rows)


async def _crops(
    connection: AsyncConnection, collection_id: UUID, key: DataKey, keys: dict[int, DataKey]
) -> int:
    rows = await _stale(connection, _STALE_CROPS, collection_id, key)
    seals = CropSeals(collection_id, keys)
    if rows:
        values = {
            "faces": [row.face_id for row in rows],
            "bodies": [
                seals.seal(
                    key.version,
                    row.face_id,
                    seals.open(row.key_version, row.face_id, row.picture),
                )
                for row in rows
            ],
            "newest": key.version,
        }
        await connection.execute(_RESEAL_CROPS, values)
    return len(rows)


async def _stale(
    connection: AsyncConnection, query: Any, collection_id: UUID, key: DataKey
) -> Sequence[Any]:
    asked = {"collection": collection_id, "newest": key.version, "batch": BATCH}
    return (await connection.execute(query, asked)).all()
