"""Nobody is kept longer than was agreed."""

import asyncio
from typing import Final

import structlog

from app.errors import NotFound
from app.store import persons
from app.store.errors import DatabaseUnavailable
from app.types import Caller
from app.usecases.erase import expire_person
from app.usecases.rooms import Rooms

log = structlog.get_logger()

_SECONDS: Final = 60.0
_AT_ONCE: Final = 100

SWEEPER: Final = Caller(None, frozenset(), None, "retention")
"""The service itself, as the audit record names it."""


async def sweep(rooms: Rooms) -> int:
    """Erase whoever is past `expires_at`; how many. Raises DatabaseUnavailable."""
    erased = 0
    while True:
        async with rooms.database.transaction() as connection:
            due = await persons.expired(connection, _AT_ONCE)
        for person_id in due:
            try:
                await expire_person(rooms, SWEEPER, person_id)
                erased += 1
            except NotFound:
                pass  # another process was there first, or somebody gave the person more time
        if len(due) < _AT_ONCE:
            return erased


async def keep_sweeping(rooms: Rooms) -> None:
    """Sweep each minute, for as long as the service runs."""
    while True:
        try:
            if erased := await sweep(rooms):
                log.info("retention.erased", persons=erased)
        except DatabaseUnavailable:
            log.warning("retention.database_unavailable")
        except Exception:  # the loop must outlive any fault of one round
            log.error("retention.failed", exc_info=True)
        await asyncio.sleep(_SECONDS)
