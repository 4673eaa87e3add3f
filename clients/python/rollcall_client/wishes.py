"""What can be asked about pictures, as values: for one call, or many at once."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from typing import Any, Literal, cast
from uuid import UUID, uuid4

from rollcall_client.uploads import Upload

Id = UUID | str


# Compared by identity: two wishes with the same words are two wishes, and arrays do not compare.
@dataclass(frozen=True, slots=True, eq=False)
class Enrolment:
    """Photos of one person: someone new, or with `person_id` someone enrolled.

    images: one upload or several. references: your own word for each image, as many as images.
    external_id: your own id, unique in the collection. consent: where you keep the person's
    consent. expires_at: erase the person then; with an offset. face: whether an image must show
    exactly one face, or the largest is taken. on_duplicate: what to do when someone in the
    collection already looks like this. idempotency_key: however often an enrolment is sent with
    the same key, it happens once; made up where not given.
    """

    images: Upload | Sequence[Upload] = field(repr=False)
    _: KW_ONLY
    collection: str = "default"
    person_id: Id | None = None
    name: str | None = None
    external_id: str | None = None
    metadata: Mapping[str, Any] | None = None
    consent: str | None = None
    expires_at: datetime | None = None
    references: Sequence[str] | None = None
    face: Literal["only", "largest"] = "only"
    on_duplicate: Literal["allow", "flag", "reject"] = "flag"
    idempotency_key: str = field(default_factory=lambda: uuid4().hex, repr=False)

    def uploads(self) -> list[tuple[str, Upload]]:
        """Each image with the name of its field. Raises ValueError where there is none."""
        images = self.images
        # Text and bytes are sequences too, but each is one image.
        one = isinstance(images, str | bytes | bytearray | memoryview)
        if one or not isinstance(images, Sequence):
            return [("images", cast("Upload", images))]
        if not images:
            raise ValueError("images is empty: send at least one photo of the person")
        return [("images", image) for image in cast("Sequence[Upload]", images)]

    def fields(self) -> list[tuple[str, str]]:
        """The fields beside the images, as text."""
        if self.expires_at is not None and self.expires_at.tzinfo is None:
            raise ValueError("expires_at needs a time zone, as in datetime.now(UTC)")
        told = {
            "collection": self.collection,
            "person_id": self.person_id,
            "name": self.name,
            "external_id": self.external_id,
            "metadata": None if self.metadata is None else json.dumps(dict(self.metadata)),
            "consent": self.consent,
            "expires_at": None if self.expires_at is None else self.expires_at.isoformat(),
            "face": self.face,
            "on_duplicate": self.on_duplicate,
        }
        references = [("references", reference) for reference in self.references or ()]
        return [*texts(told).items(), *references]


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """Who is this, among the people of a collection?

    image: an upload; or None, and `face_id` of an enrolled face in its place. collections: in place
    of `collection`, several of one model, searched together. person_ids: offer only these. top_k:
    most persons offered for a face. max_faces: the largest so many faces; 0 means all. threshold:
    the least similarity to offer; or target_fpir: offer somebody for this share of strangers at
    most. min_revision: wait until the index has it; where not given, the last one that the client
    saw, so that it finds what it enrolled.
    """

    image: Upload | None = field(default=None, repr=False)
    _: KW_ONLY
    face_id: Id | None = None
    collection: str | None = None
    collections: Sequence[str] | None = None
    person_ids: Sequence[Id] | None = None
    top_k: int | None = None
    max_faces: int | None = None
    threshold: float | None = None
    target_fpir: float | None = None
    min_revision: int | None = None

    def uploads(self) -> list[tuple[str, Upload]]:
        return [] if self.image is None else [("image", self.image)]

    def fields(self) -> list[tuple[str, str]]:
        """The fields beside the image, as text. Raises ValueError for empty lists: a form cannot
        say them, and without them everybody would be searched."""
        for name, value in (("collections", self.collections), ("person_ids", self.person_ids)):
            if value is not None and not value:
                raise ValueError(f"{name} is empty: nobody could be found")
        told = {
            "face_id": self.face_id,
            "collection": self.collection,
            "collections": _listed(self.collections),
            "person_ids": _listed(self.person_ids),
            "top_k": self.top_k,
            "max_faces": self.max_faces,
            "threshold": self.threshold,
            "target_fpir": self.target_fpir,
            "min_revision": self.min_revision,
        }
        return list(texts(told).items())

    def searched(self) -> str | None:
        """The one collection that is searched and may be behind, unless the caller says how far."""
        if self.min_revision is not None:
            return None
        if self.collections is None:
            return self.collection or "default"
        return self.collections[0] if len(self.collections) == 1 else None


def texts(values: Mapping[str, object]) -> dict[str, str]:
    """The values that are there, as a form or a query has them."""
    return {name: str(value) for name, value in values.items() if value is not None}


def _listed(values: Sequence[object] | None) -> str | None:
    return None if values is None else ",".join(map(str, values))
