"""A request with an Idempotency-Key is done once; whoever repeats it gets the first answer."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from app.errors import Overloaded, Unavailable
from app.failpoints import hit
from app.store import idempotency
from app.store.idempotency import Reservation
from app.types import Caller
from app.usecases.rooms import Rooms

Answer = Mapping[str, Any]

# A lease outlives its work by this much: clocks of two machines, and the way to PostgreSQL.
_GRACE: Final = 5.0

# What a refusal may still wait for its key to be freed: with the time in which PostgreSQL was not
# heard of it stays below three seconds.
_RELEASE_SECONDS: Final = 0.4


@dataclass(frozen=True, slots=True)
class Key:
    """What the caller sent, and a SHA-256 over the whole request that it came with."""

    value: str
    fingerprint: bytes

    def of(self, caller: Caller) -> str:
        """As it is kept: apart from everybody else's, and without the caller's own words."""
        return sha256(f"{caller.key_id or ''}:{self.value}".encode()).hexdigest()


async def once(
    rooms: Rooms,
    caller: Caller,
    key: Key | None,
    work: Callable[[Reservation | None], Awaitable[Answer]],
) -> Answer:
    """The answer of `work`, or the one that was given for this key before.

    `work` stores its answer with the reservation, in the transaction of its change. If it fails
    the key is free again: only changes are remembered. A process that dies at it leaves a lease
    that runs out. Raises KeyReused, KeyInFlight, and Overloaded at the deadline.
    """
    deadline = rooms.settings.deadline
    if key is None:
        return await _in_time(work(None), deadline)
    async with rooms.database.transaction() as connection:
        found = await idempotency.reserve(
            connection, key.of(caller), key.fingerprint, lease=deadline + _GRACE
        )
    if not isinstance(found, Reservation):
        return found
    hit("idempotency.reserved")
    try:
        return await _in_time(work(found), deadline)
    except BaseException:
        # Nothing is lost if this fails: the lease runs out.
        with contextlib.suppress(Unavailable):
            async with rooms.database.transaction(_RELEASE_SECONDS) as connection:
                await idempotency.release(connection, found)
            hit("idempotency.released")
        raise


async def _in_time(work: Awaitable[Answer], deadline: float) -> Answer:
    try:
        async with asyncio.timeout(deadline):
            return await work
    except TimeoutError:
        raise Overloaded(f"This was not done within {deadline:g} s. Try again.") from None
