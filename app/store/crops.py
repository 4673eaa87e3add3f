"""Kept crops as rows: the aligned picture of an enrolled face, sealed as templates are."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.store import faces, tables, vaultkeys
from app.store.errors import CropNotKept, TemplateUnreadable
from app.vault import DataKey, Unreadable

log = structlog.get_logger()


class CropSeals:
    """Seals and opens crops of one collection, bound to the face and the version of the key."""

    def __init__(self, collection_id: UUID, keys: Mapping[int, DataKey]) -> None:
        self._collection_id = collection_id
        self._ciphers = {version: key.cipher("crop") for version, key in keys.items()}

    def seal(self, version: int, face_id: UUID, picture: bytes) -> bytes:
        return self._ciphers[version].seal(picture, self._bound(version, face_id))

    def open(self, version: int, face_id: UUID, sealed: bytes) -> bytes:
        """Raises TemplateUnreadable."""
        try:
            if version not in self._ciphers:
                raise Unreadable(f"version {version} of its key is not there")
            return self._ciphers[version].open(sealed, self._bound(version, face_id))
        except Unreadable as reason:
            log.error("crop.unreadable", face_id=str(face_id), reason=str(reason))
            raise TemplateUnreadable(
                "The crop of this face does not open: it was changed in the database, or its key "
                "is gone. The operator finds it in the log."
            ) from None

    def _bound(self, version: int, face_id: UUID) -> bytes:
        return b"crop" + self._collection_id.bytes + version.to_bytes(4, "big") + face_id.bytes


async def keep(
    connection: AsyncConnection,
    collection_id: UUID,
    face_ids: Sequence[UUID],
    pictures: Sequence[bytes],
) -> None:
    """Keep the crops (PNG) of faces of a collection, whose row must be locked."""
    key = await vaultkeys.for_writing(connection, collection_id)
    seals = CropSeals(collection_id, {key.version: key})
    await connection.execute(
        insert(tables.crops),
        [
            {
                "face_id": face_id,
                "collection_id": collection_id,
                "key_version": key.version,
                "picture": seals.seal(key.version, face_id, picture),
            }
            for face_id, picture in zip(face_ids, pictures, strict=True)
        ],
    )


async def get(connection: AsyncConnection, face_id: UUID) -> bytes:
    """The crop of a face as PNG. Raises EnrolledFaceNotFound, CropNotKept, TemplateUnreadable."""
    f, c, k = tables.faces.c, tables.crops.c, tables.vault_keys.c
    query = (
        select(f.collection_id.label("home"), c.key_version, c.picture, tables.vault_keys)
        .outerjoin(tables.crops, c.face_id == f.id)
        .outerjoin(
            tables.vault_keys,
            (k.collection_id == c.collection_id) & (k.version == c.key_version),
        )
        .where(f.id == face_id)
    )
    row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise faces.missing(face_id)
    if row.picture is None:
        raise CropNotKept(
            "The crop of this face was not kept. ROLLCALL_KEEP_CROPS keeps those of faces that "
            "are enrolled from then on.",
            face_id=str(face_id),
        )
    keys = {row.version: vaultkeys.opened(connection, row)}
    return CropSeals(row.home, keys).open(row.key_version, face_id, row.picture)
