"""What a sealed template is: float32[D] under its collection's key, bound to where it stands."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import numpy as np
import structlog

from app.store.errors import TemplateUnreadable
from app.types import Rows
from app.vault import SEAL_BYTES, DataKey, Unreadable

log = structlog.get_logger()


class TemplateSeals:
    """Seals and opens the templates of one collection by one model.

    A seal is bound to the collection, the face, the model and the version of the key, so a row
    that was copied to another face does not open. It is not bound to the person: persons may be
    merged, and the foreign key to the face says whose it is.
    """

    def __init__(self, collection_id: UUID, model: str, keys: Mapping[int, DataKey]) -> None:
        self._collection_id = collection_id
        self._ciphers = {version: key.cipher("template") for version, key in keys.items()}
        self._before = {
            version: b"template" + collection_id.bytes + version.to_bytes(4, "big")
            for version in keys
        }
        self._after = model.encode()

    def seal(self, version: int, face: bytes, vector: bytes) -> bytes:
        """`face` is the id's 16 bytes, `vector` little-endian float32[D]."""
        bound = self._before[version] + face + self._after
        return self._ciphers[version].seal(vector, bound)

    def open(self, version: int | None, face: bytes, stored: bytes) -> bytes:
        """The vector; a version of None is a plain one. Raises TemplateUnreadable."""
        if version is None:
            return stored
        into = bytearray(max(0, len(stored) - SEAL_BYTES))
        self._open_into(version, face, stored, memoryview(into))
        return bytes(into)

    def rows(self, stored: Sequence[Any], dimension: int) -> Rows:
        """Rows of (face id, person id, vector, key version) as arrays, also where there are none.

        Raises TemplateUnreadable. Takes 4 µs a template; call it off the event loop for many.
        """
        ids = [
            np.frombuffer(b"".join(row[column] for row in stored), np.uint8).reshape(-1, 16)
            for column in (0, 1)
        ]
        vectors = np.empty((len(stored), dimension), "<f4")
        size = 4 * dimension
        body = vectors.reshape(-1).view(np.uint8).data
        for start, (face, _, vector, version) in zip(
            range(0, len(stored) * size, size), stored, strict=True
        ):
            self._open_into(version, face, vector, body[start : start + size])
        return Rows(ids[0], ids[1], vectors)

    def _open_into(self, version: int | None, face: bytes, stored: bytes, into: memoryview) -> None:
        try:
            if version is None:
                if len(stored) != len(into):
                    raise Unreadable("it has another length")
                into[:] = stored
                return
            cipher = self._ciphers.get(version)
            if cipher is None:
                raise Unreadable(f"version {version} of its key is not there")
            cipher.open_into(stored, self._before[version] + face + self._after, into)
        except Unreadable as reason:
            log.error(
                "template.unreadable",
                face_id=str(UUID(bytes=bytes(face))),
                collection_id=str(self._collection_id),
                reason=str(reason),
            )
            raise TemplateUnreadable(
                "A template of this collection does not open: it was changed in the database, or "
                "its key is gone. The operator finds it in the log."
            ) from None
