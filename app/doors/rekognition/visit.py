"""One request on its way through this door, once it is known who sent it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app.doors.rekognition.wire import Answer
from app.doors.similarity import Scale, scale_of
from app.store.idempotency import Reservation
from app.types import Caller
from app.usecases.once import Key, once
from app.usecases.rooms import Rooms
from app.vision.faces import Vision


@dataclass(frozen=True, slots=True)
class Visit:
    """Who asks what. `call` is the id that a client gives a call and keeps when it tries again;
    `body_hash` the SHA-256 of the body, in hexadecimal."""

    house: Rooms
    caller: Caller
    region: str
    operation: str
    call: str | None
    body_hash: str

    def scale(self, vision: Vision) -> Scale:
        return scale_of(vision.pack.calibration, self.house.settings.default_threshold)

    async def once(
        self, token: str | None, work: Callable[[Reservation | None], Awaitable[Answer]]
    ) -> Answer:
        """The answer of `work`, or the one that was given to `token` before."""
        key = None
        if token is not None:
            value = f"rekognition:{self.operation}:{token}"
            key = Key(value, bytes.fromhex(self.body_hash))
        return await once(self.house, self.caller, key, work)
