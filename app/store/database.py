"""The way to PostgreSQL: one engine, bounded in connections and in time, and its faults named."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from sqlalchemy import text
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.errors import CannotStart
from app.store.errors import DatabaseRefuses, DatabaseUnavailable
from app.store.reading import Reader
from app.store.vaultkeys import KEYCHAIN, Keychain
from app.vault import Vault

CHANNEL: Final = "rollcall_changes"

# A write must be refused within three seconds when PostgreSQL is away, queueing for a connection
# included, so this bounds the whole of a short transaction.
PATIENCE: Final = 2.5

# What a statement of a follower may take, a chunk of a load among them. Without it a follower
# would sit on a connection whose other end has vanished until TCP gives up, a quarter of an hour.
FOLLOWING: Final = 10.0

# SQLSTATE classes that speak of the server and not of the statement: connection exception,
# insufficient resources (a full disk), operator intervention (also a statement timeout), system
# error (a broken disk); and a transaction that was ended because we were silent in it, or that
# met a standby after a failover.
_AWAY: Final = ("08", "53", "57", "58", "25P03", "25006")
_LOCK_TIMEOUT: Final = "55P03"
_REFUSED: Final = ("28", "3D")

# What a session asks of its server. When we vanish, it must not keep the lock of a collection:
# its transaction ends when it has heard nothing for longer than any of ours may take, those
# that queue for the lock give up as we do, and a dead peer is found within seconds.
NO_IDLE_LIMIT: Final = text("SET LOCAL idle_in_transaction_session_timeout = 0")
_SESSION: Final = {
    "application_name": "rollcall",
    "timezone": "UTC",
    "idle_in_transaction_session_timeout": "3000",
    "lock_timeout": "2500",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}


# How long a connection that was tried is taken for good, unless it is seen to be closed.
_TRIED_SECONDS: Final = 5.0

# Sessions for single statements that read. Each takes half a millisecond, so few serve many.
_READERS: Final = 2


if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection


class _Session(_Connection):
    """A connection that knows when it was last tried."""

    __slots__ = ("tried_at",)

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.tried_at = monotonic()


class Dialect(PGDialect_asyncpg):
    """Ends a connection that is given up at once: a polite goodbye takes two seconds that a
    refusal in time does not have, and where the server hangs nobody hears it.

    Tries a connection before its use only where it lay idle. A server that was stopped or restarted
    closes its connections, which is seen without asking it.
    """

    supports_statement_cache = True

    def do_ping(self, dbapi_connection: Any) -> bool:
        session: _Session = dbapi_connection.driver_connection
        if session.is_closed():
            return False
        if monotonic() - session.tried_at > _TRIED_SECONDS:
            # SQLAlchemy's dialects are not typed throughout.
            super().do_ping(dbapi_connection)  # type: ignore[no-untyped-call]
            session.tried_at = monotonic()
        return True

    def do_terminate(self, dbapi_connection: Any) -> None:
        dbapi_connection.driver_connection.terminate()


registry.register("postgresql.rollcall", __name__, Dialect.__name__)


def _address(url: str) -> URL:
    """Raises CannotStart without a word of what was given: it holds a password."""
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        address = None
    if address is None or not 0 <= (address.port or 0) <= 65_535:
        raise CannotStart(
            "ROLLCALL_DATABASE_URL cannot be read. Write it as postgresql://user:password@host:5432"
            "/name, with / @ : # and % in the password as %2F %40 %3A %23 and %25."
        )
    return address.set(drivername="postgresql+rollcall")


class Database:
    """Connections to one PostgreSQL database.

    `url` is a libpq URL, postgresql://user:password@host/name?sslmode=verify-full; `patience` the
    seconds that a single statement may take, None for any. Parameters never reach a log: the engine
    hides them, since they hold names and templates. Its connections carry the keys of `vault`;
    without one no template can be read or written.
    """

    def __init__(
        self, url: str, *, pool: int, vault: Vault | None = None, patience: float | None = None
    ) -> None:
        self.url = url
        self.vault = vault

        async def connect() -> "asyncpg.Connection[asyncpg.Record]":
            # By the driver and not by SQLAlchemy, which hands on only what it knows of a URL:
            # sslmode, sslrootcert and their like are the driver's to read.
            return await asyncpg.connect(
                url,
                timeout=2.0,
                command_timeout=patience,
                server_settings=_SESSION,
                connection_class=_Session,
            )

        self._reader = Reader(connect, _READERS)
        self.engine: AsyncEngine = create_async_engine(
            _address(url),
            async_creator=connect,
            pool_size=pool,
            max_overflow=0,
            pool_timeout=PATIENCE,
            # A server that was restarted costs nobody an error; see Dialect.
            pool_pre_ping=True,
            hide_parameters=True,
            execution_options={KEYCHAIN: Keychain(vault)} if vault is not None else {},
        )

    @asynccontextmanager
    async def transaction(self, patience: float = PATIENCE) -> AsyncIterator[AsyncConnection]:
        """A transaction that commits at the end of the block, all of it within `patience` seconds.

        Raises DatabaseUnavailable when PostgreSQL cannot be reached or does not answer in time;
        if that was in the commit, the change may have happened all the same.
        """
        async with reaching():
            async with asyncio.timeout(patience):
                async with self.engine.begin() as connection:
                    yield connection

    async def fetch(
        self, query: str, *values: Any, patience: float = PATIENCE
    ) -> "list[asyncpg.Record]":
        """The rows of one statement that reads, within `patience` seconds, in one roundtrip.

        Raises DatabaseUnavailable.
        """
        async with reaching(), asyncio.timeout(patience):
            return await self._reader.fetch(query, *values)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """A REPEATABLE READ, read-only transaction without a time limit, for loading."""
        async with reaching():
            async with self.engine.connect() as connection:
                await connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
                async with connection.begin():
                    # asyncpg opens the transaction with the first statement. This one holds no
                    # lock, and rows are laid out, or a file is read, between its statements.
                    await connection.execute(NO_IDLE_LIMIT)
                    yield connection

    async def listen(self) -> "asyncpg.Connection[asyncpg.Record]":
        """A connection of its own, outside of the pool, for LISTEN."""
        async with reaching():
            return await asyncpg.connect(self.url, timeout=2.0, command_timeout=PATIENCE)

    async def close(self) -> None:
        self._reader.close()
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
        asyncpg.InternalClientError,  # asked while the end of its connection was being read
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
