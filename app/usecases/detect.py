"""Which faces are in a picture? Nothing is stored."""

from dataclasses import dataclass

from app.types import Face
from app.usecases.looking import by_size, naming
from app.usecases.rooms import Rooms


@dataclass(frozen=True, slots=True)
class Detected:
    faces: list[Face]
    model: str


async def detect(rooms: Rooms, image: bytes) -> Detected:
    """All faces, largest first; none is an answer. Raises ImageRefused."""
    with naming("image"):
        faces = await rooms.default.faces(image)
    return Detected(by_size(faces), rooms.default.model)
