"""A request with an Idempotency-Key is done once; whoever repeats it gets the first answer."""

import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import Unavailable
from app.store import idempotency
from app.store.idempotency import Reservation
from app.usecases.rooms import Rooms

Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Key:
    """What the caller sent, and a SHA-256 over the whole request that it came with."""

    value: str
    fingerprint: bytes


async def once(
    rooms: Rooms, key: Key | None, work: Callable[[Reservation | None], Awaitable[Answer]]
) -> Answer:
    """The answer of `work`, or the one that was given for this key before.

    `work` stores its answer with the reservation, in the transaction of its change. If it fails
    the key is free again: only changes are remembered. Raises KeyReused, KeyInFlight.
    """
    if key is None:
        return await work(None)
    # Stages wait for the deadline at most, three of them and the transactions around.
    lease = 3 * rooms.settings.deadline + 15.0
    async with rooms.database.transaction() as connection:
        found = await idempotency.reserve(connection, key.value, key.fingerprint, lease)
    if not isinstance(found, Reservation):
        return found
    try:
        return await work(found)
    except BaseException:
        # Nothing is lost if this fails: the lease runs out.
        with contextlib.suppress(Unavailable):
            async with rooms.database.transaction() as connection:
                await idempotency.release(connection, found)
        raise
