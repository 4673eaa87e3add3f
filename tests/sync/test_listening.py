"""The connection that hears of changes dies without a word, and another takes its place."""

import asyncio
import os
import signal
from collections.abc import Callable

import asyncpg

from tests.service import Service
from tests.waiting import wait_until


def test_a_listener_that_hears_nothing_is_replaced(
    serve: Callable[..., Service], database_url: str
) -> None:
    async def listeners() -> set[int]:
        connection = await asyncpg.connect(database_url)
        try:
            rows = await connection.fetch(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
                "AND query ~ '^(LISTEN|SELECT 1$)' AND application_name = ''"
            )
        finally:
            await connection.close()
        return {row["pid"] for row in rows}

    serve()
    [first] = asyncio.run(listeners())
    os.kill(first, signal.SIGSTOP)
    try:
        wait_until(lambda: bool(asyncio.run(listeners()) - {first}), "nobody listens any more")
    finally:
        os.kill(first, signal.SIGCONT)
