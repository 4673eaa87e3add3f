"""Are these the same person? Two pictures, or a picture and an enrolled person."""

from dataclasses import dataclass
from uuid import UUID

import numpy as np

from app.errors import Conflict
from app.store import collections, faces, persons
from app.store.audit import record_of
from app.types import Caller, Face
from app.usecases.looking import known_to, recognised
from app.usecases.rooms import Rooms
from app.usecases.thresholds import Threshold, for_verify
from app.vision.faces import Vision


class NothingToCompare(Conflict):
    """The person has no face enrolled (any more)."""

    code = "person_without_faces"


@dataclass(frozen=True, slots=True)
class Aim:
    """What the caller wants of the decision; at most one of the two is given."""

    threshold: float | None
    target_fmr: float | None


@dataclass(frozen=True, slots=True)
class Verified:
    """`fmr` is the calibrated false match rate at the threshold, `similarity_fmr` the one at the
    similarity itself, None where it is not known."""

    similarity: float
    threshold: Threshold
    fmr: float | None
    similarity_fmr: float | None
    source: Face
    target: Face | None
    matched_face_id: UUID | None
    model: str

    @property
    def verified(self) -> bool:
        return self.similarity >= self.threshold.value


async def verify_images(
    rooms: Rooms, caller: Caller, source: bytes, target: bytes, aim: Aim
) -> Verified:
    """Compare the largest faces of two images. Raises ImageRefused, TargetUnsupported."""
    vision = rooms.default
    threshold = _threshold(rooms, vision, aim)
    source_face, one = await recognised(vision, source, "source")
    target_face, other = await recognised(vision, target, "target")
    similarity = float(np.dot(one.astype(np.float64), other.astype(np.float64)))
    verified = Verified(
        similarity,
        threshold,
        _fmr(vision, threshold.value),
        _fmr(vision, similarity),
        source_face,
        target_face,
        None,
        vision.model,
    )
    await rooms.journal.write(
        record_of(
            caller,
            "verify",
            model=vision.model,
            threshold=threshold.value,
            verified=verified.verified,
        )
    )
    return verified


async def verify_person(
    rooms: Rooms, caller: Caller, image: bytes, collection: str, person_id: UUID, aim: Aim
) -> Verified:
    """Compare the largest face of an image with every template of a person; the best counts.

    Raises ImageRefused, TargetUnsupported, CollectionNotFound, PersonNotFound, NothingToCompare,
    and VerifyLimited after too many refusals.
    """
    known_to(caller, collection)
    async with rooms.database.transaction() as connection:
        home = await collections.get(connection, collection)
        if await persons.collection_of(connection, person_id) != home.id:
            raise persons.missing(person_id)
        vision = rooms.vision_for(home.model)
        known = await faces.templates_of(connection, person_id, vision.model)
    if not known.face_ids:
        raise NothingToCompare("This person has no enrolled face. Enrol one first.")
    rooms.access.allow_verify(caller.key_id, str(person_id))
    threshold = _threshold(rooms, vision, aim)
    face, probe = await recognised(vision, image, "image")
    similarities = known.vectors.astype(np.float64) @ probe.astype(np.float64)
    best = int(similarities.argmax())
    verified = Verified(
        float(similarities[best]),
        threshold,
        _fmr(vision, threshold.value),
        _fmr(vision, float(similarities[best])),
        face,
        None,
        known.face_ids[best],
        vision.model,
    )
    if not verified.verified:
        rooms.access.refused(caller.key_id, str(person_id))
    await rooms.journal.write(
        record_of(
            caller,
            "verify",
            collection=collection,
            model=vision.model,
            threshold=threshold.value,
            person_ids=[person_id],
            verified=verified.verified,
        )
    )
    return verified


def _threshold(rooms: Rooms, vision: Vision, aim: Aim) -> Threshold:
    return for_verify(
        vision.pack.calibration,
        rooms.settings,
        threshold=aim.threshold,
        target_fmr=aim.target_fmr,
    )


def _fmr(vision: Vision, similarity: float) -> float | None:
    calibration = vision.pack.calibration
    return None if calibration is None else calibration.fmr_at(similarity)
