"""The schema goes up, down and up again, and is what the tables say."""

import asyncio
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from app.errors import CannotStart
from app.store import migrate, tables
from app.store.database import Database


def with_database(url: str, work: Any) -> Any:
    async def run() -> Any:
        database = Database(url, pool=2)
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(run())


def table_names(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names()) - {"alembic_version"}


def test_migrations_have_one_head() -> None:
    assert len(ScriptDirectory(str(migrate.MIGRATIONS)).get_heads()) == 1


def test_every_migration_goes_up_down_and_up_again(database_url: str) -> None:
    revisions = [
        script.revision for script in ScriptDirectory(str(migrate.MIGRATIONS)).walk_revisions()
    ]

    async def work(database: Database) -> None:
        for revision in [*revisions[1:], "base"]:
            await migrate.downgrade(database, revision)
        async with database.engine.begin() as connection:
            assert await connection.run_sync(table_names) == set()
        await migrate.upgrade(database)
        async with database.engine.begin() as connection:
            assert await connection.run_sync(table_names) == set(tables.metadata.tables)

    with_database(database_url, work)


def test_tables_in_the_code_equal_those_that_migrations_make(database_url: str) -> None:
    def differences(connection: Connection) -> list[Any]:
        return compare_metadata(MigrationContext.configure(connection), tables.metadata)

    async def work(database: Database) -> list[Any]:
        async with database.engine.begin() as connection:
            return await connection.run_sync(differences)

    assert with_database(database_url, work) == []


def test_vectors_are_stored_in_the_row(database_url: str) -> None:
    async def work(database: Database) -> Any:
        async with database.transaction() as connection:
            query = "SELECT attstorage FROM pg_attribute WHERE attrelid = 'templates'::regclass"
            return (await connection.execute(text(f"{query} AND attname = 'vector'"))).scalar_one()

    assert with_database(database_url, work) in ("p", b"p")


def test_a_schema_of_a_newer_version_is_refused(database_url: str) -> None:
    async def work(database: Database) -> None:
        async with database.transaction() as connection:
            await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        with pytest.raises(CannotStart, match="newer Rollcall"):
            await migrate.upgrade(database)
        with pytest.raises(CannotStart, match="python -m app migrate"):
            await migrate.require_current(database)

    with_database(database_url, work)


def test_processes_that_start_together_migrate_once(database_url: str) -> None:
    async def work(database: Database) -> None:
        await migrate.downgrade(database, "base")
        await asyncio.gather(*(migrate.upgrade(database) for _ in range(2)))
        await migrate.require_current(database)

    with_database(database_url, work)
