"""The way to PostgreSQL: one engine, bounded in connections and in time, and its faults named."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.store.errors import DatabaseUnavailable

CHANNEL: Final = "rollcall_changes"

# A write must be refused within three seconds when PostgreSQL is away, queueing for a connection
# included, so this bounds the whole of a short transaction.
PATIENCE: Final = 2.5

# SQLSTATE classes that speak of the server and not of the statement: connection exception,
# insufficient resources, operator intervention (also a statement timeout), system error.
_AWAY: Final = ("08", "53", "57", "58")
_LOCK_TIMEOUT: Final = "55P03"


class Database:
    """Connections to one PostgreSQL database.

    `url` is a libpq URL, postgresql://user:password@host/name. Parameters never reach a log:
    the engine hides them, since they hold names and templates.
    """

    def __init__(self, url: str, *, pool: int) -> None:
        self.url = url
        self.engine: AsyncEngine = create_async_engine(
            make_url(url).set(drivername="postgresql+asyncpg"),
            pool_size=pool,
            max_overflow=0,
            pool_timeout=PATIENCE,
            # A server that was restarted costs nobody an error, only a roundtrip more for all.
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={
                "timeout": 2.0,
                "server_settings": {"application_name": "rollcall", "timezone": "UTC"},
            },
        )

    @asynccontextmanager
    async def transaction(self, patience: float = PATIENCE) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits at the end of the block, all of it within `patience` seconds.

        Raises DatabaseUnavailable when PostgreSQL cannot be reached or does not answer in time.
        """
        async with reaching():
            async with asyncio.timeout(patience):
                async with self.engine.begin() as connection:
                    yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """A REPEATABLE READ, read-only transaction without a time limit, for loading."""
        async with reaching():
            async with self.engine.connect() as connection:
                await connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
                async with connection.begin():
                    # asyncpg opens the transaction with the first statement.
                    await connection.execute(text("SELECT 1"))
                    yield connection

    async def listen(self) -> "asyncpg.Connection[asyncpg.Record]":
        """A connection of its own, outside of the pool, for LISTEN."""
        async with reaching():
            return await asyncpg.connect(self.url, timeout=2.0, command_timeout=PATIENCE)

    async def close(self) -> None:
        await self.engine.dispose()


@asynccontextmanager
async def reaching() -> AsyncIterator[None]:
    """Turn what a lost, slow or stopping server raises into DatabaseUnavailable."""
    try:
        yield
    except (OperationalError, InterfaceError, DBAPIError) as error:
        if not _away(error):
            raise
        raise _unavailable() from error
    except (PoolTimeout, TimeoutError, OSError, asyncpg.PostgresConnectionError) as error:
        raise _unavailable() from error
    except asyncpg.PostgresError as error:
        if not (error.sqlstate or "").startswith(_AWAY):
            raise
        raise _unavailable() from error
    except asyncpg.InterfaceError as error:
        raise _unavailable() from error


def _away(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None)
    if error.connection_invalidated or isinstance(error.orig, OSError):
        return True
    return isinstance(state, str) and (state.startswith(_AWAY) or state == _LOCK_TIMEOUT)


def _unavailable() -> DatabaseUnavailable:
    return DatabaseUnavailable("The database does not answer. Nothing was changed; try again.")
