"""`rollcall migrate`: the database's schema, up to date or back down."""

import argparse
import asyncio

from app.commands.parsing import Commands, add_command, as_json
from app.commands.showing import print_json
from app.opening import open_database
from app.settings import Settings
from app.store import migrate


def add(commands: Commands) -> None:
    command = add_command(
        commands,
        "migrate",
        "bring the database's schema up to date",
        example="rollcall migrate\nrollcall migrate --down-to 0007",
    )
    command.add_argument(
        "--down-to",
        metavar="REVISION",
        help="go back instead, to a revision or to `base`; what newer revisions hold is lost",
    )
    as_json(command)
    command.set_defaults(run=_run)


def _run(asked: argparse.Namespace, settings: Settings) -> None:
    asyncio.run(_migrate(settings, asked.down_to))
    if asked.json:
        print_json({"schema": asked.down_to or "newest"})


async def _migrate(settings: Settings, down_to: str | None) -> None:
    """Raises CannotStart, DatabaseUnavailable."""
    async with open_database(settings) as database:
        if down_to is None:
            await migrate.upgrade(database)
        else:
            await migrate.downgrade(database, down_to)
