"""The schema and the code are one version: migrations run by the service, one process at a time."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from app.errors import CannotStart
from app.store import roles
from app.store.database import NO_IDLE_LIMIT, Database, reaching

MIGRATIONS: Final = Path(__file__).parent.parent.parent / "migrations"

# Any number that nobody else takes; replicas that start together migrate in turn.
_LOCK: Final = 7_255_267_443_901


def head() -> str:
    """The newest revision that this code knows."""
    newest = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    if newest is None:
        raise CannotStart(f"There are no migrations in {MIGRATIONS}.")
    return newest


async def upgrade(database: Database) -> None:
    """Bring the schema to the newest revision. Raises DatabaseUnavailable, CannotStart."""
    await _locked(database, _upgrade)


async def downgrade(database: Database, revision: str) -> None:
    """Bring the schema back to `revision`, or to nothing with `base`. Data of newer ones go."""
    await _locked(database, lambda connection: command.downgrade(_config(connection), revision))


async def require_current(database: Database) -> None:
    """Raises CannotStart unless the schema is the one that this code was written for."""
    async with reaching(), database.engine.connect() as connection:
        found = await connection.run_sync(_current)
    if found != head():
        raise CannotStart(
            f"The database's schema is {found or 'empty'}, this version needs {head()}. "
            "Run: python -m app migrate"
        )


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _upgrade(connection: Connection) -> None:
    known = {script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()}
    found = _current(connection)
    if found is not None and found not in known:
        raise CannotStart(
            f"The database's schema {found} was made by a newer Rollcall. Start that version, or "
            "restore a backup from before it."
        )
    command.upgrade(_config(connection), "head")
    for table, rights in roles.LIMITED.items():
        connection.execute(text(roles.leaving_only(table, rights)))


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


async def _locked(database: Database, move: Callable[[Connection], None]) -> None:
    async with reaching(), database.engine.begin() as connection:
        # Another process's migration may take long, and so may the locks of ours.
        await connection.execute(text("SET LOCAL lock_timeout = 0"))
        await connection.execute(NO_IDLE_LIMIT)
        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        await connection.run_sync(move)
