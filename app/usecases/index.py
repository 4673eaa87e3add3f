"""Enrol every good face of one picture, each as a person of its own of whom nothing is said yet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid4

from app.failpoints import hit
from app.settings import QualityLimits
from app.stages import current
from app.store import collections, idempotency
from app.store.audit import record_of
from app.store.change import changing, lock_named
from app.store.idempotency import Reservation
from app.types import Caller, Face
from app.usecases.enroll import pictures_of, require_consent
from app.usecases.looking import known_to, naming
from app.usecases.once import Answer
from app.usecases.rooms import Rooms
from app.vision.quality import refusals

TOO_MANY: Final = "too_many"
"""The reason of a face that is good enough, when there were enough already."""


@dataclass(frozen=True, slots=True)
class Indexing:
    """A picture, the caller's word for it, how many faces are wanted at most, and how good each
    must be at least."""

    collection: str
    image: bytes
    reference: str | None
    most: int
    limits: QualityLimits


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A face that was not enrolled, with the codes of `app.vision.quality`, or TOO_MANY."""

    face: Face
    reasons: Sequence[str]


@dataclass(frozen=True, slots=True)
class Indexed:
    """`face_ids` go with the enrolled faces, the largest first."""

    face_ids: Sequence[UUID]
    left_out: Sequence[LeftOut]
    model: str
    revision: int


async def index(
    rooms: Rooms,
    caller: Caller,
    ask: Indexing,
    shape: Callable[[Indexed], Answer],
    reservation: Reservation | None,
) -> Answer:
    """Enrol, and answer once PostgreSQL has committed it and this process's index shows it. A
    picture without any good face changes nothing, and is no error.

    Raises CollectionNotFound, ConsentMissing, ImageRefused, ModelNotLoaded, ModelChanged, and what
    is temporarily unavailable; then nothing was changed.
    """
    known_to(caller, ask.collection)
    require_consent(rooms, None)
    collection = await collections.look(rooms.database, ask.collection)
    if collection is None:
        raise collections.missing(ask.collection)
    vision = rooms.vision_for(collection.model)
    with naming("image"):
        faces = await vision.faces(ask.image)
    good, left_out = _sorted_out(faces, ask)
    embeddings = await vision.embed([face.crop for face in good])
    if not good:
        nothing = Indexed([], left_out, vision.model, collection.position.revision)
        return await _nothing(rooms, caller, ask, shape(nothing), reservation)
    pictures = await pictures_of(rooms, good)
    with current()("store"):
        async with changing(rooms.database, lock_named(ask.collection)) as change:
            face_ids = await change.add_strangers(
                vision.model, good, embeddings, ask.reference, uuid4()
            )
            if pictures:
                await change.keep_crops(face_ids, pictures)
            answer = shape(Indexed(face_ids, left_out, vision.model, change.revision))
            if reservation is not None:
                await idempotency.fulfil(change.connection, reservation, answer, None)
            change.record = record_of(
                caller,
                "face.index",
                collection=ask.collection,
                model=vision.model,
                face_ids=face_ids,
                rejected=len(left_out),
                revision=change.revision,
            )
    with current()("apply"):
        await rooms.sync.applied(change)
    hit("change.applied")
    return answer


async def _nothing(
    rooms: Rooms, caller: Caller, ask: Indexing, answer: Answer, reservation: Reservation | None
) -> Answer:
    """The answer where nobody was enrolled: recorded and kept as any other."""
    if reservation is not None:
        async with rooms.database.transaction() as connection:
            await idempotency.fulfil(connection, reservation, answer, None)
    await rooms.journal.write(
        record_of(caller, "face.index", collection=ask.collection, face_ids=[])
    )
    return answer


def _sorted_out(faces: Sequence[Face], ask: Indexing) -> tuple[list[Face], list[LeftOut]]:
    good: list[Face] = []
    left_out: list[LeftOut] = []
    for face in faces:
        reasons = refusals(face.quality, ask.limits)
        if not reasons and len(good) >= ask.most:
            reasons = [TOO_MANY]
        if reasons:
            left_out.append(LeftOut(face, reasons))
        else:
            good.append(face)
    return good, left_out
