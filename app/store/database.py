"""The way to PostgreSQL: one engine, bounded in connections and in time, and its faults named."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.store.errors import DatabaseRefuses, DatabaseUnavailable
from app.store.vaultkeys import KEYRING, Keyring
from app.vault import Vault

CHANNEL: Final = "rollcall_changes"

# A write must be refused within three seconds when PostgreSQL is away, queueing for a connection
# included, so this bounds the whole of a short transaction.
PATIENCE: Final = 2.5

# SQLSTATE classes that speak of the server and not of the statement: connection exception,
# insufficient resources, operator intervention (also a statement timeout), system error.
_AWAY: Final = ("08", "53", "57", "58")
_LOCK_TIMEOUT: Final = "55P03"
_REFUSED: Final = ("28", "3D")


class Database:
    """Connections to one PostgreSQL database.

    `url` is a libpq URL, postgresql://user:password@host/name. Parameters never reach a log:
    the engine hides them, since they hold names and templates. Its connections carry the keys
    of `vault`; without one no template can be read or written.
    """

    def __init__(self, url: str, *, pool: int, vault: Vault | None = None) -> None:
        self.url = url
        self.vault = vault
        self.engine: AsyncEngine = create_async_engine(
            make_url(url).set(drivername="postgresql+asyncpg"),
            pool_size=pool,
            max_overflow=0,
            pool_timeout=PATIENCE,
            # A server that was restarted costs nobody an error, only a roundtrip more for all.
            pool_pre_ping=True,
            hide_parameters=True,
            execution_options={KEYRING: Keyring(vault)} if vault is not None else {},
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
    """Turn what a lost, slow, stopping or refusing server raises into DatabaseUnavailable."""
    try:
        yield
    except DBAPIError as error:
        fault = _fault(error.orig, lost=error.connection_invalidated)
        if fault is None:
            raise
        raise fault from error
    except (
        PoolTimeout,
        TimeoutError,
        OSError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
    ) as error:
        fault = _fault(error, lost=not isinstance(error, asyncpg.PostgresError))
        if fault is None:
            raise
        raise fault from error


def _fault(error: BaseException | None, *, lost: bool) -> DatabaseUnavailable | None:
    """What an error of the driver means for us; None where it speaks of the statement."""
    state = str(getattr(error, "sqlstate", None) or "")
    if state.startswith(_REFUSED):
        return DatabaseRefuses("The database refuses the service's role, password or name.")
    if lost or isinstance(error, OSError) or state.startswith(_AWAY) or state == _LOCK_TIMEOUT:
        # Where the connection broke in a commit it may have happened, so nothing is promised.
        return DatabaseUnavailable("The database does not answer. Try again in a moment.")
    return None
