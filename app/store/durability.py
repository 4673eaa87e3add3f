"""PostgreSQL keeps what it acknowledged only if nobody told it not to.

Looked at before the service starts, and again in the transaction of every change, since the
settings can be changed by a reload at any time. Identification goes on without it.
"""

from typing import Final

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import CannotStart, Unavailable
from app.store.database import Database

log = structlog.get_logger()

# Each with the value that must not be. With `local` and `remote_write` this server's own disk
# has the commit before it is answered, so they are as good as `on`.
_WEAK: Final = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "zero_damaged_pages": "on",
    "ignore_checksum_failure": "on",
}

_LOOK: Final = text(
    "SELECT name, setting FROM unnest(CAST(:names AS text[])) AS name, "
    "LATERAL (SELECT current_setting(name) AS setting) AS found"
)


class DatabaseNotDurable(Unavailable):
    """PostgreSQL is set to forget what it acknowledged; nothing is written until it is not."""

    code = "database_not_durable"
    retry_after = 30


async def weak_settings(connection: AsyncConnection) -> list[str]:
    """The settings in force in this session, `name=value`, with which a commit may be lost."""
    rows = await connection.execute(_LOOK, {"names": list(_WEAK)})
    return sorted(f"{name}={setting}" for name, setting in rows if setting == _WEAK[name])


async def require(connection: AsyncConnection) -> None:
    """Raises DatabaseNotDurable where a commit of this session may be lost."""
    if weak := await weak_settings(connection):
        log.error("postgres.not_durable", settings=weak)
        raise DatabaseNotDurable(
            "The database is set so that it may lose what it acknowledged, so nothing is "
            f"changed: {', '.join(weak)}. Whoever runs it must set that back and reload it."
        )


async def require_at_start(database: Database) -> None:
    """Raises CannotStart that says what to set, DatabaseUnavailable."""
    async with database.transaction() as connection:
        weak = await weak_settings(connection)
        checksums = (await connection.execute(text("SHOW data_checksums"))).scalar_one()
    if weak:
        names = [each.split("=")[0] for each in weak]
        right = ", ".join(f"{name}={'off' if _WEAK[name] == 'on' else 'on'}" for name in names)
        raise CannotStart(
            f"PostgreSQL may lose or invent what was enrolled with {', '.join(weak)}. Set {right} "
            "in postgresql.conf, and for the service's role and database (ALTER ROLE/DATABASE … "
            "RESET), and reload it."
        )
    if checksums != "on":
        log.warning(
            "postgres.no_data_checksums",
            advice="damaged pages go unnoticed; stop the server and run pg_checksums --enable",
        )
