"""A change: the one way templates come and go. One transaction, one revision, one digest."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Final
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.failpoints import hit
from app.store import audit, collections, crops, durability, faces, idempotency, persons, tables
from app.store.audit import Record
from app.store.collections import Collection
from app.store.database import CHANNEL, Database
from app.store.errors import CollectionNotFound, ModelChanged
from app.store.faces import EnrolledFace
from app.store.history import LoggedChange
from app.store.persons import NewPerson
from app.types import Face, Floats, Person, Position, Rows

Lock = Callable[[AsyncConnection], Awaitable[Collection]]

# One statement, for others wait for the collection's row meanwhile: the log, the collection's new
# position, the wake of its followers, and the lock of the audit record, whose end the next reads.
_WRITE: Final = text("""
WITH logged AS (
    INSERT INTO changes (collection_id, revision, parent, digest, added, removed) VALUES (
        :collection_id, :revision, :parent, :digest,
        CAST(:added AS uuid[]), CAST(:removed AS uuid[])
    )
), moved AS (
    UPDATE collections SET revision = :revision, digest = :digest WHERE id = :collection_id
)
SELECT pg_notify(:channel, CAST(:collection_id AS text)), pg_advisory_xact_lock(:chain)
""")


def chain(
    parent: Position, added: Sequence[tuple[UUID, UUID, bytes]], removed: Sequence[UUID]
) -> Position:
    """The position after a change: SHA-256 over the digest before it and all it did.

    `added` holds face id, person id and stored template. Two histories that once parted can
    never have the same digest again.
    """
    digest = sha256(parent.digest)
    digest.update((parent.revision + 1).to_bytes(8, "big"))
    for face_id, person_id, vector in sorted(added):
        digest.update(b"+" + face_id.bytes + person_id.bytes + sha256(vector).digest())
    for face_id in sorted(removed):
        digest.update(b"-" + face_id.bytes)
    return Position(parent.revision + 1, digest.digest())


class Change:
    """What one transaction does to one collection. Made by `changing`, written at its end.

    `record` tells who did it, and is written with it.
    """

    def __init__(self, connection: AsyncConnection, collection: Collection) -> None:
        self.connection = connection
        self.collection = collection
        self.record: Record | None = None
        self._new_persons: dict[UUID, NewPerson] = {}
        self._added: list[tuple[UUID, UUID, bytes]] = []
        self._removed: list[UUID] = []
        self._position = collection.position

    @property
    def revision(self) -> int:
        """The revision that this change will be."""
        return self.collection.position.revision + 1

    def logged(self, dimension: int) -> LoggedChange:
        """As followers read it from the log, once it is written; templates have `dimension`."""
        vectors = np.frombuffer(b"".join(vector for _, _, vector in self._added), "<f4")
        return LoggedChange(
            self.collection.position.digest,
            self._position,
            Rows(
                _packed([face_id for face_id, _, _ in self._added]),
                _packed([person_id for _, person_id, _ in self._added]),
                vectors.reshape(-1, dimension),
            ),
            _packed(self._removed),
        )

    async def add_person(self, person: NewPerson, person_id: UUID | None = None) -> UUID:
        """With an id of their own where none is given. Raises ExternalIdTaken."""
        person_id = person_id or uuid4()
        stored = await persons.add(self.connection, self.collection.id, person_id, person)
        self._new_persons[person_id] = stored
        return person_id

    async def add_faces(
        self,
        person_id: UUID,
        model: str,
        detected: Sequence[Face],
        embeddings: Floats,
        references: Sequence[str | None] = (),
    ) -> list[UUID]:
        """Enrol faces of a person in this collection; binds the model if none is bound yet.

        `embeddings` is float32[len(detected), D]; `references`, where there are any, are as many.

        Raises ModelChanged when the collection belongs to another model by now, PersonNotFound
        when the person is not in this collection (any more).
        """
        named = references or [None] * len(detected)
        new = [
            EnrolledFace.new(person_id, face, reference)
            for face, reference in zip(detected, named, strict=True)
        ]
        await self.add_enrolled(model, new, embeddings)
        return [face.id for face in new]

    async def add_strangers(
        self,
        model: str,
        detected: Sequence[Face],
        embeddings: Floats,
        reference: str | None,
        image_id: UUID,
    ) -> list[UUID]:
        """Enrol the faces of one picture, each as a person of its own of whom nothing is said.

        Raises ModelChanged.
        """
        owners = await persons.add_unnamed(self.connection, self.collection.id, len(detected))
        self._new_persons |= dict.fromkeys(owners, NewPerson())
        new = [
            EnrolledFace.new(owner, face, reference, image_id)
            for owner, face in zip(owners, detected, strict=True)
        ]
        await self.add_enrolled(model, new, embeddings)
        return [face.id for face in new]

    async def add_enrolled(
        self, model: str, new: Sequence[EnrolledFace], embeddings: Floats
    ) -> None:
        """As `add_faces`, for faces that have their ids and persons already."""
        for person_id in {face.person_id for face in new}:
            await self._require_here(person_id)
        if self.collection.model is None:
            await collections.bind(
                self.connection, self.collection, model, int(embeddings.shape[1])
            )
        elif self.collection.model != model:
            raise ModelChanged(
                f"Collection '{self.collection.name}' is bound to model {self.collection.model}, "
                f"not {model}. Send the request again.",
                model=self.collection.model,
            )
        await faces.add(self.connection, self.collection.id, model, new, embeddings)
        self._added += [
            (face.id, face.person_id, faces.to_bytes(embedding))
            for face, embedding in zip(new, embeddings, strict=True)
        ]

    async def keep_crops(self, face_ids: Sequence[UUID], pictures: Sequence[bytes]) -> None:
        """Keep the crops (PNG) of faces that this change enrols. Raises TemplateUnreadable."""
        await crops.keep(self.connection, self.collection.id, face_ids, pictures)

    async def remove_person(self, person_id: UUID) -> int:
        """Erase a person with everything that hangs on it; how many faces went."""
        removed = await faces.ids_of(self.connection, person_id)
        await persons.remove(self.connection, self.collection.id, person_id)
        self._removed += removed
        return len(removed)

    async def remove_face(self, face_id: UUID) -> None:
        """Erase one face and its templates. Raises EnrolledFaceNotFound."""
        await faces.remove(self.connection, self.collection.id, face_id)
        self._removed.append(face_id)

    async def remove_faces(self, person_id: UUID | None) -> list[UUID]:
        """Erase every face of a person of this collection, or of everybody; which faces went.

        Raises PersonNotFound.
        """
        if person_id is not None:
            await self._require_here(person_id)
        removed = await faces.remove_all(self.connection, self.collection.id, person_id)
        self._removed += removed
        return removed

    async def move_faces(self, face_ids: Sequence[UUID], person_id: UUID) -> None:
        """Give enrolled faces of this collection to another person of it.

        In the log they are removed and added again: a template says whose it is. Raises
        EnrolledFaceNotFound, PersonNotFound, TemplateUnreadable.
        """
        await self._require_here(person_id)
        await faces.move(self.connection, self.collection.id, face_ids, person_id)
        await self._log_move(dict.fromkeys(face_ids, person_id))

    async def set_apart(self, face_ids: Sequence[UUID], owner: Person) -> None:
        """Give each of these faces of `owner` to a new person of its own, who may be kept as long
        as `owner` may, by the same consent. Raises TemplateUnreadable."""
        if not face_ids:
            return
        strangers = await persons.add_unnamed(
            self.connection,
            self.collection.id,
            len(face_ids),
            consent=owner.consent,
            expires_at=owner.expires_at,
        )
        owners = dict(zip(face_ids, strangers, strict=True))
        await faces.move_each(self.connection, self.collection.id, owners)
        await self._log_move(owners)

    async def remove_some(self, face_ids: Sequence[UUID]) -> None:
        """Erase faces that are in this collection, and their templates."""
        await faces.remove_some(self.connection, self.collection.id, face_ids)
        self._removed += face_ids

    async def _log_move(self, owners: Mapping[UUID, UUID]) -> None:
        if self.collection.model is None:
            return
        moved = await faces.templates_by_id(self.connection, [*owners], self.collection.model)
        self._removed += moved.face_ids
        self._added += [
            (face_id, owners[face_id], faces.to_bytes(vector))
            for face_id, vector in zip(moved.face_ids, moved.vectors, strict=True)
        ]

    async def merge_person(self, person_id: UUID, into: UUID) -> list[UUID]:
        """Give all faces of a person to another, and erase the person; which faces moved.

        What was answered to enrolments of the one is an answer of the other's from then on, so
        that a request which is repeated does not enrol anew. Raises PersonNotFound,
        TemplateUnreadable.
        """
        await self._require_here(person_id)
        moved = await faces.ids_of(self.connection, person_id)
        await self.move_faces(moved, into)
        await idempotency.hand_over(self.connection, person_id, into)
        await persons.remove(self.connection, self.collection.id, person_id)
        return moved

    async def person(self, person_id: UUID) -> Person:
        """A person as this change leaves them; one that it made is not asked for. Raises
        PersonNotFound."""
        new = self._new_persons.get(person_id)
        if new is None:
            return await persons.get(self.connection, person_id)
        return Person(
            id=person_id,
            collection=self.collection.name,
            name=new.name,
            external_id=new.external_id,
            metadata=new.metadata or {},
            consent=new.consent,
            expires_at=new.expires_at,
            face_count=sum(owner == person_id for _, owner, _ in self._added),
        )

    async def _require_here(self, person_id: UUID) -> None:
        if person_id in self._new_persons:
            return
        home = await persons.collection_of(self.connection, person_id)
        if home != self.collection.id:
            raise persons.missing(person_id)

    async def write(self) -> None:
        """Number the change and append it to the log, in the transaction that made it."""
        parent = self.collection.position
        self._position = position = chain(parent, self._added, self._removed)
        await self.connection.execute(
            _WRITE,
            {
                "collection_id": self.collection.id,
                "revision": position.revision,
                "parent": parent.digest,
                "digest": position.digest,
                "added": [face_id for face_id, _, _ in self._added],
                "removed": self._removed,
                "channel": CHANNEL,
                "chain": audit.LOCK,
            },
        )
        if self.record is not None:
            await audit.append_locked(self.connection, [(self.record.id, self.record.text())])


@asynccontextmanager
async def changing(database: Database, lock: Lock) -> AsyncIterator[Change]:
    """A change of the collection that `lock` returns, its row locked: committed at the end.

    The lock makes revisions gap-free and their order the order of commits. Raises what `lock`
    raises, DatabaseUnavailable, and DatabaseNotDurable: what is answered must outlive the power.
    """
    async with database.transaction() as connection:
        await durability.require(connection)
        change = Change(connection, await lock(connection))
        hit("change.locked")
        yield change
        hit("change.rows_written")
        await change.write()
        hit("change.before_commit")
    hit("change.committed")


def _packed(ids: Sequence[UUID]) -> NDArray[np.uint8]:
    """uint8[N, 16]."""
    return np.frombuffer(b"".join(each.bytes for each in ids), np.uint8).reshape(-1, 16)


async def notify(connection: AsyncConnection, collection_id: UUID) -> None:
    """Wake the followers of every process when this transaction commits."""
    await connection.execute(
        text("SELECT pg_notify(:channel, :payload)"),
        {"channel": CHANNEL, "payload": str(collection_id)},
    )


def lock_or_make(name: str) -> Lock:
    """Lock the collection of that name, made in the same transaction if there is none."""

    async def lock(connection: AsyncConnection) -> Collection:
        try:
            return await collections.lock(connection, name)
        except CollectionNotFound:
            await collections.ensure(connection, name)
            return await collections.lock(connection, name)

    return lock


def lock_named(name: str) -> Lock:
    """Lock the collection of that name. The lock raises CollectionNotFound."""
    return lambda connection: collections.lock(connection, name)


def lock_of_person(person_id: UUID) -> Lock:
    """Lock the collection of a person. The lock raises PersonNotFound."""

    async def lock(connection: AsyncConnection) -> Collection:
        collection_id = await persons.collection_of(connection, person_id)
        collection = await collections.lock_by_id(connection, collection_id)
        if collection is None:
            raise persons.missing(person_id)
        return collection

    return lock


def lock_of_face(face_id: UUID) -> Lock:
    """Lock the collection of an enrolled face. The lock raises EnrolledFaceNotFound."""

    async def lock(connection: AsyncConnection) -> Collection:
        of_face = select(tables.faces.c.collection_id).where(tables.faces.c.id == face_id)
        found = (await connection.execute(of_face)).scalar_one_or_none()
        collection = None if found is None else await collections.lock_by_id(connection, found)
        if collection is None:
            raise faces.missing(face_id)
        return collection

    return lock
