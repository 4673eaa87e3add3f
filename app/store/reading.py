"""Single statements that read: one roundtrip each, for what every request asks.

A transaction is begun and ended around its statements, and its connection is tried first: for one
short SELECT that costs many times the SELECT. Here a session of the driver runs it as it is.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import asyncpg

if TYPE_CHECKING:
    Session = asyncpg.Connection[asyncpg.Record]

# What only a connection that is gone raises, and never a statement; the driver's internal error
# where its end was being read in the moment that it was asked.
_LOST: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)


class Reader:
    """At most `sessions` sessions, made by `connect` when they are first needed."""

    def __init__(self, connect: "Callable[[], Awaitable[Session]]", sessions: int) -> None:
        self._connect = connect
        self._turn = asyncio.Semaphore(sessions)
        self._idle: list[Session] = []

    async def fetch(self, query: str, *values: Any) -> "list[asyncpg.Record]":
        """The rows. Raises what the driver raises.

        A session that was lost while it lay idle, as when the server was restarted, is no fault of
        the statement: it runs in another one.
        """
        async with self._turn:
            while self._idle:
                try:
                    return await self._fetch_in(self._idle.pop(), query, values)
                except _LOST:
                    continue
            return await self._fetch_in(await self._connect(), query, values)

    async def _fetch_in(
        self, session: "Session", query: str, values: tuple[Any, ...]
    ) -> "list[asyncpg.Record]":
        try:
            rows = await session.fetch(query, *values)
        except BaseException:
            session.terminate()  # whatever was left of it, nobody else shall find it
            raise
        self._idle.append(session)
        return rows

    def close(self) -> None:
        while self._idle:
            self._idle.pop().terminate()
