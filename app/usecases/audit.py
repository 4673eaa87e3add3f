"""Look at the record of what was done."""

from collections.abc import Sequence

from app.store import audit
from app.store.audit import Link
from app.usecases.rooms import Rooms


async def newest(rooms: Rooms, before: int | None, limit: int) -> Sequence[Link]:
    """At most `limit` records before number `before`, newest first."""
    async with rooms.database.transaction() as connection:
        return await audit.newest(connection, before, limit)
