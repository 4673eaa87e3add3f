"""Enrol faces of one person from photos: all good images, or none if none is good."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

import numpy as np

from app.errors import BadRequest, Conflict, ImageRefused
from app.failpoints import hit
from app.stages import current
from app.store import collections, idempotency, persons
from app.store.audit import record_of
from app.store.change import Change, changing, lock_or_make
from app.store.errors import CollectionNotFound
from app.store.idempotency import Reservation
from app.store.persons import NewPerson
from app.types import Caller, Face, Floats, Person
from app.usecases.looking import known_to
from app.usecases.once import Answer
from app.usecases.rooms import Rooms
from app.usecases.thresholds import for_identify
from app.vision.crop_png import crop_to_png
from app.vision.errors import FaceNotFound, SeveralFaces
from app.vision.faces import Vision
from app.vision.quality import refusals

# More look-alikes than this need a person's eyes, not a longer list.
_DUPLICATES_SHOWN: Final = 5


class NothingEnrolled(BadRequest):
    """No image could be used. `rejected` in its facts says why, image by image."""

    code = "nothing_enrolled"


class ConsentMissing(BadRequest):
    """This installation enrols nobody without a reference to the person's consent."""

    code = "consent_missing"


class DuplicatePerson(Conflict):
    """Someone in the collection looks the same, and the caller asked not to enrol then."""

    code = "duplicate_person"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What is asked: photos of one person, new or known by `person_id`.

    `references`, where there are any, are the caller's words for the images, as many as those.
    What the detector is less sure of than `least_score` is no face to this caller.
    """

    collection: str
    images: Sequence[bytes]
    person_id: UUID | None
    person: NewPerson
    face: Literal["only", "largest"]
    on_duplicate: Literal["allow", "flag", "reject"]
    references: Sequence[str] = ()
    least_score: float = 0.0


@dataclass(frozen=True, slots=True)
class Rejected:
    """An image that was not enrolled: stable reasons, and a sentence for a person."""

    image_index: int
    reasons: list[str]
    detail: str


@dataclass(frozen=True, slots=True)
class Accepted:
    image_index: int
    face: Face
    reference: str | None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Another person of the collection who is as similar as a match."""

    person_id: UUID
    similarity: float


@dataclass(frozen=True, slots=True)
class Enrolled:
    """`face_ids` go with `accepted`."""

    person: Person
    face_ids: Sequence[UUID]
    accepted: Sequence[Accepted]
    rejected: Sequence[Rejected]
    duplicates: Sequence[Duplicate]
    model: str
    revision: int


async def enroll(
    rooms: Rooms,
    caller: Caller,
    ask: Enrolment,
    shape: Callable[[Enrolled], Answer],
    reservation: Reservation | None,
) -> Answer:
    """Enrol, and answer once PostgreSQL has committed it and this process's index shows it.

    Raises CollectionNotFound (where the caller may have none of that name), ConsentMissing,
    NothingEnrolled, PersonNotFound, ExternalIdTaken, DuplicatePerson, ModelNotLoaded, ModelChanged,
    and what is temporarily unavailable; then nothing was changed.
    """
    known_to(caller, ask.collection)
    vision = await _vision_for(rooms, ask)
    accepted, rejected = await _look_at_all(rooms, vision, ask)
    if not accepted:
        raise NothingEnrolled(
            "None of the images could be enrolled. "
            + " ".join(f"Image {one.image_index}: {one.detail}" for one in rejected),
            rejected=[
                {"image_index": one.image_index, "reasons": one.reasons, "detail": one.detail}
                for one in rejected
            ],
        )
    embeddings = await vision.embed([one.face.crop for one in accepted])
    pictures = await pictures_of(rooms, [one.face for one in accepted])
    # A flag is a hint, taken before the lock; a refusal is a promise, kept under it.
    duplicates = []
    if ask.on_duplicate == "flag":
        duplicates = await _duplicates(rooms, vision, ask, embeddings)
    with current()("store"):
        async with changing(rooms.database, lock_or_make(ask.collection)) as change:
            if ask.on_duplicate == "reject":
                await _refuse_duplicates(rooms, vision, ask, embeddings, change)
            person_id = ask.person_id or await change.add_person(ask.person)
            face_ids = await change.add_faces(
                person_id,
                vision.model,
                [one.face for one in accepted],
                embeddings,
                [one.reference for one in accepted],
            )
            if pictures:
                await change.keep_crops(face_ids, pictures)
            answer = shape(
                Enrolled(
                    person=await change.person(person_id),
                    face_ids=face_ids,
                    accepted=accepted,
                    rejected=rejected,
                    duplicates=duplicates,
                    model=vision.model,
                    revision=change.revision,
                )
            )
            if reservation is not None:
                await idempotency.fulfil(change.connection, reservation, answer, person_id)
            change.record = record_of(
                caller,
                "person.enroll",
                collection=ask.collection,
                model=vision.model,
                person_ids=[person_id],
                face_ids=face_ids,
                revision=change.revision,
            )
    with current()("apply"):
        await rooms.sync.applied(change)
    hit("change.applied")
    return answer


async def _vision_for(rooms: Rooms, ask: Enrolment) -> Vision:
    """The pack of the collection, and a look whether the person is there and may be enrolled."""
    consent = ask.person.consent
    collection = await collections.look(rooms.database, ask.collection)
    if ask.person_id is not None:
        async with rooms.database.transaction() as connection:
            person = await persons.get(connection, ask.person_id)
        if person.collection != ask.collection:
            raise persons.missing(ask.person_id)
        consent = person.consent
    require_consent(rooms, consent)
    return rooms.vision_for(None if collection is None else collection.model)


def require_consent(rooms: Rooms, consent: str | None) -> None:
    """Raises ConsentMissing where this installation asks for one and there is none."""
    if rooms.settings.require_consent and consent is None:
        raise ConsentMissing(
            "This service enrols nobody without consent. Send consent: where you keep the person's."
        )


async def _look_at_all(
    rooms: Rooms, vision: Vision, ask: Enrolment
) -> tuple[list[Accepted], list[Rejected]]:
    looks = await asyncio.gather(
        *(_look(rooms, vision, index, image, ask) for index, image in enumerate(ask.images))
    )
    return (
        [look for look in looks if isinstance(look, Accepted)],
        [look for look in looks if isinstance(look, Rejected)],
    )


async def _look(
    rooms: Rooms, vision: Vision, index: int, image: bytes, ask: Enrolment
) -> Accepted | Rejected:
    try:
        whole = ask.face == "only" or ask.least_score > 0
        faces = await vision.faces(image, most=0 if whole else 1)
        faces = [face for face in faces if face.score >= ask.least_score]
        if not faces:
            raise FaceNotFound
        if len(faces) > 1 and ask.face == "only":
            raise SeveralFaces(len(faces))
    except ImageRefused as refusal:
        return Rejected(index, [refusal.code], refusal.detail)
    reasons = refusals(faces[0].quality, rooms.settings.quality)
    if reasons:
        return Rejected(
            index,
            reasons,
            f"The face is not good enough to enrol: {', '.join(reasons).replace('_', ' ')}.",
        )
    return Accepted(index, faces[0], ask.references[index] if ask.references else None)


async def pictures_of(rooms: Rooms, faces: Sequence[Face]) -> list[bytes]:
    """The crops as they are kept, none where they are not."""
    if not rooms.settings.keep_crops:
        return []
    return await asyncio.to_thread(lambda: [crop_to_png(face.crop) for face in faces])


async def _duplicates(
    rooms: Rooms, vision: Vision, ask: Enrolment, embeddings: Floats, revision: int = 0
) -> list[Duplicate]:
    """Other persons at or above the collection's identification threshold, best first."""
    try:
        view = await rooms.sync.view(ask.collection, revision)
    except CollectionNotFound:
        return []
    floor = for_identify(
        vision.pack.calibration, rooms.settings, view.size, threshold=None, target_fpir=None
    )
    found = await rooms.sync.search([view], embeddings, _DUPLICATES_SHOWN + 1, floor.value)
    best: dict[UUID, float] = {}
    for candidate in (one for each in found for one in each):
        if candidate.person_id != ask.person_id:
            best[candidate.person_id] = max(
                candidate.similarity, best.get(candidate.person_id, -np.inf)
            )
    ranked = sorted(best.items(), key=lambda item: (-item[1], item[0]))
    return [Duplicate(*item) for item in ranked[:_DUPLICATES_SHOWN]]


async def _refuse_duplicates(
    rooms: Rooms, vision: Vision, ask: Enrolment, embeddings: Floats, change: Change
) -> None:
    """Under the collection's lock, so that of two like enrolments one comes first and is seen."""
    if change.revision == 1:
        return
    found = await _duplicates(rooms, vision, ask, embeddings, change.revision - 1)
    if found:
        raise DuplicatePerson(
            "Someone in the collection already looks like this. Add the photos to that person, "
            "or send on_duplicate=allow.",
            duplicates=[
                {"person_id": str(one.person_id), "similarity": round(one.similarity, 4)}
                for one in found
            ],
        )
