"""The `calculator` plugin: embeddings of the faces that an answer shows."""

from collections.abc import Sequence

from app.doors.compreface.access import Guest
from app.doors.compreface.asks import Wanted
from app.types import Floats
from app.usecases.detect import embed
from app.usecases.rooms import Rooms


async def vectors_of(
    house: Rooms, guest: Guest, image: bytes, wanted: Wanted, model: str, faces: int
) -> Sequence[Floats | None]:
    """One for each of the `faces` that count, in the order of the answer: float32[D], or None
    where the plugin is not asked for. Raises ImageRefused."""
    if "calculator" not in wanted.plugins:
        return [None] * faces
    found = await embed(house, guest.caller, image, model)
    chosen = wanted.looking.chosen([face.score for face in found.faces])
    return [found.embeddings[index] for index in chosen[:faces]]
