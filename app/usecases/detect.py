"""Which faces are in a picture, and what are their embeddings? Nothing is stored."""

from dataclasses import dataclass

from app.store.audit import record_of
from app.types import Caller, Face, Floats
from app.usecases.looking import naming
from app.usecases.rooms import Rooms


@dataclass(frozen=True, slots=True)
class Detected:
    faces: list[Face]
    model: str


@dataclass(frozen=True, slots=True)
class Embedded:
    """`embeddings` is float32[len(faces), D], of length one each."""

    faces: list[Face]
    embeddings: Floats
    model: str


async def detect(rooms: Rooms, caller: Caller, image: bytes) -> Detected:
    """All faces, largest first; none is an answer. Raises ImageRefused."""
    with naming("image"):
        faces = await rooms.default.faces(image)
    model = rooms.default.model
    await rooms.journal.write(record_of(caller, "detect", model=model, faces=len(faces)))
    return Detected(faces, model)


async def embed(rooms: Rooms, caller: Caller, image: bytes, model: str | None = None) -> Embedded:
    """All faces, largest first, with their embeddings, by the default model or the one named.

    Raises ImageRefused, ModelNotLoaded.
    """
    vision = rooms.vision_for(model)
    with naming("image"):
        faces, embeddings = await vision.recognise(image)
    model = vision.model
    await rooms.journal.write(record_of(caller, "embed", model=model, faces=len(faces)))
    return Embedded(faces, embeddings, model)
