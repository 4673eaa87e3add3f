"""A command's work on the database of the settings, beside a running service or without one."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable

from app.opening import join_database
from app.settings import Settings
from app.store import migrate
from app.store.database import Database


def on_database(
    work: Callable[[argparse.Namespace, Database], Awaitable[int | None]],
) -> Callable[[argparse.Namespace, Settings], int | None]:
    """What a parser sets as `run`: `work` on a database whose schema is current."""

    async def run(asked: argparse.Namespace, settings: Settings) -> int | None:
        async with join_database(settings) as database:
            await migrate.require_current(database)
            return await work(asked, database)

    return lambda asked, settings: asyncio.run(run(asked, settings))
