"""The model card of a pack at work."""

import asyncio

from app.errors import NotFound
from app.usecases.rooms import Rooms
from app.vision.pack import CARD


class CardNotFound(NotFound):
    """No pack here is of that model, or it came without a card."""

    code = "card_not_found"


async def card_of(rooms: Rooms, model: str) -> str:
    """The Markdown that the pack of `model` brings. Raises CardNotFound."""
    vision = rooms.visions.get(model)
    try:
        if vision is not None:
            return await asyncio.to_thread((vision.pack.folder / CARD).read_text, "utf-8")
    except (OSError, UnicodeDecodeError):
        pass  # as if it were not there
    raise CardNotFound("There is no card of that model here. GET /models lists the packs at work.")
