"""PostgreSQL that may lose what it acknowledged is not written to."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest
from sqlalchemy.engine import make_url
from structlog.testing import capture_logs

from app import logs
from app.errors import CannotStart
from app.store import durability
from app.store.database import Database
from app.store.durability import DatabaseNotDurable
from app.store.embedded import EmbeddedPostgres
from tests.service import Service


def say(url: str, *statements: str) -> None:
    async def execute() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(execute())


@pytest.fixture
def weaken(database_url: str) -> Iterator[Callable[[str, str], None]]:
    """Sets one setting of the server, or of the database where the server lets it."""

    def set_(name: str, value: str) -> None:
        if name in ("fsync", "full_page_writes"):
            say(
                database_url, f"ALTER SYSTEM SET {name} = {value}", "SELECT pg_reload_conf()",
                "SELECT pg_sleep(0.3)",
            )  # fmt: skip
        else:
            database = str(make_url(database_url).database)
            say(database_url, f"ALTER DATABASE {database} SET {name} = {value}")

    yield set_
    say(database_url, "ALTER SYSTEM RESET ALL", "SELECT pg_reload_conf()")


WEAK = [
    ("fsync", "off", "fsync=on"),
    ("full_page_writes", "off", "full_page_writes=on"),
    ("synchronous_commit", "off", "synchronous_commit=on"),
    ("zero_damaged_pages", "on", "zero_damaged_pages=off"),
    ("ignore_checksum_failure", "on", "ignore_checksum_failure=off"),
]


@pytest.mark.parametrize(("name", "value", "right"), WEAK, ids=[each[0] for each in WEAK])
def test_a_setting_that_forgets_what_was_acknowledged_is_refused_by_name(
    weaken: Callable[[str, str], None], database_url: str, name: str, value: str, right: str
) -> None:
    async def look() -> None:
        database = Database(database_url, pool=2)
        try:
            with pytest.raises(CannotStart) as refused:
                await durability.require_at_start(database)
            assert f"{name}={value}" in refused.value.detail
            assert f"Set {right} " in refused.value.detail
            async with database.transaction() as connection:
                with pytest.raises(DatabaseNotDurable, match=f"{name}={value}"):
                    await durability.require(connection)
        finally:
            await database.close()

    weaken(name, value)
    asyncio.run(look())


@pytest.mark.parametrize("value", ["on", "local", "remote_write", "remote_apply"])
def test_a_commit_that_waits_for_a_disk_is_durable(
    weaken: Callable[[str, str], None], database_url: str, value: str
) -> None:
    async def look() -> list[str]:
        database = Database(database_url, pool=2)
        try:
            async with database.transaction() as connection:
                return await durability.weak_settings(connection)
        finally:
            await database.close()

    weaken("synchronous_commit", value)
    assert asyncio.run(look()) == []


def test_a_service_does_not_start_on_a_weak_postgres_and_stops_writing_when_it_becomes_one(
    serve: Callable[..., Service],
    weaken: Callable[[str, str], None],
    database_url: str,
    hanks: bytes,
    tmp_path: Path,
) -> None:
    with serve().client() as client:
        enrolled = client.post("/enroll", files={"images": hanks}).json()
        person = enrolled["person"]["id"]
        weaken("fsync", "off")

        def refused(answer: httpx.Response) -> None:
            assert answer.status_code == 503, answer.text
            assert answer.json()["code"] == "database_not_durable"
            assert "fsync=off" in answer.json()["detail"]
            assert int(answer.headers["retry-after"]) >= 1

        refused(client.post("/enroll", files={"images": hanks}))
        refused(client.delete(f"/persons/{person}"))
        refused(client.delete(f"/faces/{enrolled['faces'][0]['id']}"))
        refused(client.patch(f"/persons/{person}", json={"name": "Tom"}))
        refused(client.post("/collections", json={"name": "more"}))
        refused(client.delete("/collections/default"))
        found = client.post("/identify", files={"image": hanks})
        assert found.json()["gallery_size"] == 1
        assert client.get("/readyz").status_code == 200

        with pytest.raises(AssertionError, match="fsync=off") as stopped:
            serve(ROLLCALL_DATA_DIR=str(tmp_path / "other"))
        assert "Set fsync=on" in str(stopped.value)

        weaken("fsync", "on")
        assert client.post("/enroll", files={"images": hanks}).status_code == 201


def test_a_postgres_without_checksums_is_named_in_the_log(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg")
    logs.configure("warning")

    async def look() -> list[str]:
        database = Database(await server.start(), pool=2)
        try:
            with capture_logs() as said:
                await durability.require_at_start(database)
        finally:
            await database.close()
            await server.stop()
        return [each["event"] for each in said]

    assert asyncio.run(look()) == []
    server._run("pg_checksums", "--disable", "-D", str(tmp_path / "pg" / "data"))
    assert asyncio.run(look()) == ["postgres.no_data_checksums"]
    logs.configure("error")
