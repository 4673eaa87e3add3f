"""What of a bulk run's persons is enrolled already."""

from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from rollcall_client import AsyncRollcall
from rollcall_client.errors import NotFound

# A collection is read as a whole where it is at most so much larger than what is to be enrolled:
# a page of a thousand costs about what asking for one person does.
_WORTH: Final = 100
_LITTLE: Final = 10_000
_PAGE: Final = 1000


@dataclass(slots=True)
class Known:
    """A person who is there, with what is enrolled of them: face and reference."""

    id: UUID
    faces: dict[UUID, str | None] = field(default_factory=dict)


class Already:
    """Finds persons of a collection by `external_id`."""

    def __init__(self, client: AsyncRollcall, collection: str) -> None:
        self._client = client
        self._collection = collection
        self._read: dict[str, Known] | None = None

    async def prepare(self, photos: int | None) -> None:
        """Read the collection at once, if that is cheaper for so many photos (None: not known)."""
        try:
            there = await self._client.collection(self._collection)
        except NotFound:
            self._read = {}
            return
        rows = there.person_count + there.face_count
        if rows <= _LITTLE or (photos is not None and rows <= _WORTH * photos):
            self._read = await self._all()

    async def of(self, external_id: str) -> Known | None:
        """The person as they were when this run began, or are now."""
        if self._read is not None:
            return self._read.get(external_id)
        return await self.look(external_id)

    async def look(self, external_id: str) -> Known | None:
        """The person as they are now."""
        found = await self._client.person_page(self._collection, external_id=external_id, limit=1)
        if not found.entries:
            return None
        person = found.entries[0]
        faces = await self._client.person_faces(person.id)
        return Known(person.id, {face.id: face.reference for face in faces})

    async def _all(self) -> dict[str, Known]:
        # Faces first: a person of whom a face is missing here is sent it again, and hears the
        # first answer; a face without its person would be one too many.
        faces = [face async for face in self._client.faces(self._collection, limit=_PAGE)]
        everybody: dict[UUID, Known] = {}
        named: dict[str, Known] = {}
        async for person in self._client.persons(self._collection, limit=_PAGE):
            everybody[person.id] = known = Known(person.id)
            if person.external_id is not None:
                named[person.external_id] = known
        for face in faces:
            if face.person_id in everybody:
                everybody[face.person_id].faces[face.id] = face.reference
        return named
