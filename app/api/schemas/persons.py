"""What is enrolled: collections, persons, their faces, and what became of them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from app import types
from app.api.schemas.faces import KeptFace, OwnedFace
from app.gallery.checksum import Checksum
from app.gallery.comparison import Faces
from app.store.collections import Census
from app.sync.audit import Audit
from app.usecases.erase import Erased
from app.usecases.move import Moved


class Person(BaseModel):
    """`consent` is your reference to it; after `expires_at` the person is erased."""

    id: UUID
    name: str | None
    external_id: str | None
    metadata: Mapping[str, Any]
    consent: str | None
    expires_at: datetime | None
    face_count: int

    @classmethod
    def of(cls, person: types.Person) -> "Person":
        return cls(
            id=person.id,
            name=person.name,
            external_id=person.external_id,
            metadata=person.metadata,
            consent=person.consent,
            expires_at=person.expires_at,
            face_count=person.face_count,
        )


class PersonInCollection(Person):
    collection: str

    @classmethod
    def placed(cls, person: types.Person) -> "PersonInCollection":
        return cls(collection=person.collection, **Person.of(person).model_dump())


class Collection(BaseModel):
    """`model` is null until the first enrolment binds one."""

    name: str
    person_count: int
    face_count: int
    model: str | None
    revision: int
    created_at: datetime

    @classmethod
    def of(cls, census: Census) -> "Collection":
        collection = census.collection
        return cls(
            name=collection.name,
            person_count=census.persons,
            face_count=census.faces,
            model=collection.model,
            revision=collection.position.revision,
            created_at=collection.created_at,
        )


class CollectionPage(BaseModel):
    """Send `next_cursor` as `cursor` for the next page; null at the end."""

    collections: list[Collection]
    next_cursor: str | None
    request_id: str


class CollectionAnswer(Collection):
    request_id: str


class PersonPage(BaseModel):
    """Send `next_cursor` as `cursor` for the next page; null at the end."""

    persons: list[Person]
    next_cursor: str | None
    request_id: str


class PersonAnswer(PersonInCollection):
    request_id: str


class FacesAnswer(BaseModel):
    faces: list[KeptFace]
    request_id: str


class FaceAnswer(OwnedFace):
    collection: str
    request_id: str


class FacePage(BaseModel):
    """Send `next_cursor` as `cursor` for the next page; null at the end."""

    faces: list[OwnedFace]
    next_cursor: str | None
    request_id: str


class MovedAnswer(BaseModel):
    """The person as it is now, the faces that came to it, and how many persons went for that."""

    person: PersonInCollection
    face_ids: list[UUID]
    merged: int
    revision: int
    request_id: str

    @classmethod
    def of(cls, moved: Moved, request_id: str) -> "MovedAnswer":
        return cls(
            person=PersonInCollection.placed(moved.person),
            face_ids=list(moved.face_ids),
            merged=moved.merged,
            revision=moved.revision,
            request_id=request_id,
        )


class ImportAnswer(BaseModel):
    """What was new, and the collection's revision."""

    persons: int
    faces: int
    revision: int
    request_id: str


class ErasedAnswer(BaseModel):
    """What went. `revision` is null where the collection itself did."""

    collection: str
    persons: int
    faces: int
    revision: int | None
    request_id: str

    @classmethod
    def of(cls, erased: Erased, request_id: str) -> "ErasedAnswer":
        return cls(
            collection=erased.collection,
            persons=erased.persons,
            faces=erased.faces,
            revision=erased.revision,
            request_id=request_id,
        )


class Side(BaseModel):
    """How many templates, and a checksum of them that no order changes."""

    templates: int
    checksum: str

    @classmethod
    def of(cls, checksum: Checksum) -> "Side":
        return cls(templates=checksum.count, checksum=checksum.hex())


class NamedFaces(BaseModel):
    """How many faces, and the first hundred of them by name."""

    count: int
    face_ids: list[UUID]

    @classmethod
    def of(cls, faces: Faces) -> "NamedFaces":
        return cls(count=faces.count, face_ids=list(faces.ids))


class AuditAnswer(BaseModel):
    """`missing` faces are not in the index, `extra` ones are in it alone, `different` ones are in
    both, but of another person or with another vector."""

    collection: str
    model: str | None
    revision: int
    digest: str
    equal: bool
    index: Side
    database: Side
    missing: NamedFaces
    extra: NamedFaces
    different: NamedFaces
    request_id: str

    @classmethod
    def of(cls, audit: Audit, request_id: str) -> "AuditAnswer":
        collection, found = audit.collection, audit.differences
        return cls(
            collection=collection.name,
            model=collection.model,
            revision=collection.position.revision,
            digest=collection.position.digest.hex(),
            equal=audit.equal,
            index=Side.of(audit.index),
            database=Side.of(audit.database),
            missing=NamedFaces.of(found.missing),
            extra=NamedFaces.of(found.extra),
            different=NamedFaces.of(found.different),
            request_id=request_id,
        )
