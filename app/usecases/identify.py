"""Who is this, among the people of a collection?"""

from dataclasses import dataclass
from uuid import UUID

import numpy as np

from app.store import faces
from app.store.audit import record_of
from app.sync.follow import View
from app.types import Caller, Candidate, Detection, Face, Quality
from app.usecases.looking import naming
from app.usecases.matching import (
    Match,
    ModelsDiffer,
    Place,
    Searched,
    matches,
    model_of,
    persons_of,
    told,
    views_of,
)
from app.usecases.rooms import Rooms
from app.usecases.thresholds import Threshold, for_identify
from app.vision.errors import FaceNotFound
from app.vision.faces import Vision


@dataclass(frozen=True, slots=True)
class Probe:
    """What is asked: a photo, or an enrolled face by its id. `max_faces` 0 means every face of the
    photo."""

    subject: bytes | UUID
    place: Place
    top_k: int
    max_faces: int
    threshold: float | None
    target_fpir: float | None


@dataclass(frozen=True, slots=True)
class ProbedFace:
    detection: Detection | Face
    quality: Quality
    matches: list[Match]


@dataclass(frozen=True, slots=True)
class Identified:
    """`details` tells whether names and metadata could be read."""

    faces: list[ProbedFace]
    threshold: Threshold
    collections: list[Searched]
    model: str
    details: bool

    @property
    def gallery_size(self) -> int:
        """Templates that were searched in all."""
        return sum(each.gallery_size for each in self.collections)


_Seen = tuple[Detection | Face, Quality]


async def identify(rooms: Rooms, caller: Caller, probe: Probe) -> Identified:
    """Candidates at or above the threshold, by face.

    Raises ImageRefused (FaceNotFound too), CollectionNotFound, EnrolledFaceNotFound, ModelsDiffer,
    TargetUnsupported, ModelNotLoaded, and what is temporarily unavailable.
    """
    views = await views_of(rooms, caller, probe.place)
    vision = rooms.vision_for(model_of(views))
    threshold = for_identify(
        vision.pack.calibration,
        rooms.settings,
        sum(view.size for view in views),
        threshold=probe.threshold,
        target_fpir=probe.target_fpir,
    )
    if isinstance(probe.subject, UUID):
        seen, found = await _by_enrolled(
            rooms, caller, vision.model, views, probe.subject, probe.top_k, threshold.value
        )
    else:
        seen, found = await _by_photo(rooms, vision, views, probe.subject, probe, threshold.value)
    known = await persons_of(rooms, {one.person_id for each in found for one in each})
    probed = [
        ProbedFace(detection, quality, matches(candidates, views, known))
        for (detection, quality), candidates in zip(seen, found, strict=True)
    ]
    among = probe.place.person_ids
    await rooms.journal.write(
        record_of(
            caller,
            "identify",
            **told(views),
            among=None if among is None else len(among),
            model=vision.model,
            threshold=threshold.value,
            faces=[[match.candidate.person_id for match in each.matches] for each in probed],
        )
    )
    return Identified(
        faces=probed,
        threshold=threshold,
        collections=[Searched.of(view) for view in views],
        model=vision.model,
        details=known is not None,
    )


async def _by_photo(
    rooms: Rooms, vision: Vision, views: list[View], image: bytes, probe: Probe, threshold: float
) -> tuple[list[_Seen], list[list[Candidate]]]:
    with naming("image"):
        shown, embeddings = await vision.recognise(image, probe.max_faces)
        if not shown:
            raise FaceNotFound
    found = await rooms.sync.search(views, embeddings, probe.top_k, threshold)
    return [(face, face.quality) for face in shown], found


async def _by_enrolled(
    rooms: Rooms,
    caller: Caller,
    model: str,
    views: list[View],
    face_id: UUID,
    top_k: int,
    threshold: float,
) -> tuple[list[_Seen], list[list[Candidate]]]:
    """A face finds itself, which says nothing: whoever it belongs to is offered by other faces.

    Raises EnrolledFaceNotFound, ModelsDiffer.
    """
    async with rooms.database.transaction() as connection:
        if not caller.sees(await faces.home_of(connection, face_id)):
            raise faces.missing(face_id)
        face = await faces.get(connection, face_id)
        own = await faces.templates_of(connection, face.person_id, model)
    if face_id not in own.face_ids:
        raise ModelsDiffer(
            f"This face has no template by model {model}, which the collection is bound to. "
            "Send a photo instead.",
            models=[model],
        )
    place = own.face_ids.index(face_id)
    probe = own.vectors[place]
    [found] = await rooms.sync.search(views, probe[np.newaxis], top_k + 1, threshold)
    similarities = own.vectors.astype(np.float64) @ probe.astype(np.float64)
    similarities[place] = -np.inf
    best = int(similarities.argmax())
    others = []
    for each in found:
        if each.face_id != face_id:
            others.append(each)
        elif similarities[best] >= threshold:
            similarity = float(similarities[best])
            others.append(Candidate(each.person_id, own.face_ids[best], similarity, each.source))
    others.sort(key=lambda each: -each.similarity)
    return [(face.detection, face.quality)], [others[:top_k]]
