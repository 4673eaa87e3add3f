"""The service's role reads and writes rows; the schema belongs to another."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from app.store import roles
from app.store.embedded import EmbeddedPostgres, binaries
from tests.service import ROOT, SECRET, Service
from tests.system.test_start import run

PASSWORDS = {
    "POSTGRES_PASSWORD": "operator",
    "ROLLCALL_DB_OWNER_PASSWORD": "owner-1",
    "ROLLCALL_DB_PASSWORD": "service-1",
}


def initialise(socket: Path, **passwords: str) -> "subprocess.CompletedProcess[str]":
    """docker/db-init.sh as it is, against the server of that socket."""
    return subprocess.run(
        [ROOT / "docker" / "db-init.sh"],
        env={
            "PATH": f"{binaries()}:{os.environ['PATH']}",
            "PGHOST": str(socket),
            **PASSWORDS,
            **passwords,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """A server as the postgres image leaves it after docker/db-init.sh, with a migrated schema."""
    folder = Path(tempfile.mkdtemp(prefix="rollcall-test-roles-"))
    server = EmbeddedPostgres(folder)
    asyncio.run(server.start())
    try:
        asyncio.run(_execute(_url(server, "postgres", "postgres"), "DROP DATABASE rollcall"))
        done = initialise(server.socket_folder)
        assert done.returncode == 0, done.stderr
        migrated = run(
            "migrate",
            ROLLCALL_DATABASE_URL=_url(server, "rollcall_owner"),
            ROLLCALL_SECRET=SECRET,
        )
        assert migrated.returncode == 0, migrated.stderr
        yield server
    finally:
        asyncio.run(server.stop())
        shutil.rmtree(folder)


def _url(server: EmbeddedPostgres, role: str, database: str = "rollcall") -> str:
    return f"postgresql://{role}@/{database}?host={server.socket_folder}"


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def as_role(server: EmbeddedPostgres, role: str, *statements: str) -> None:
    asyncio.run(_execute(_url(server, role), *statements))


def value(server: EmbeddedPostgres, role: str, query: str) -> Any:
    async def ask() -> Any:
        connection = await asyncpg.connect(_url(server, role))
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_the_service_enrols_identifies_and_erases_without_owning_anything(
    server: EmbeddedPostgres, serve: Callable[..., Service], hanks: bytes
) -> None:
    service = serve(
        ROLLCALL_DATABASE_URL=_url(server, "rollcall"),
        ROLLCALL_MIGRATE="false",
        ROLLCALL_SNAPSHOT_INTERVAL="0.2",
    )
    with service.client() as client:
        enrolled = client.post("/enroll", files={"images": hanks}, data={"name": "Tom"})
        assert enrolled.status_code == 201, enrolled.text
        found = client.post("/identify", files={"image": hanks}).json()
        assert found["faces"][0]["candidates"][0]["person"]["name"] == "Tom"
        person = enrolled.json()["person"]["id"]
        assert client.delete(f"/persons/{person}").status_code == 200
        assert client.post("/identify", files={"image": hanks}).json()["gallery_size"] == 0
    recorded = "SELECT count(*) FROM audit WHERE record LIKE '%person.erase%'"
    assert value(server, "rollcall", recorded) == 1
    assert "role_may_change_schema" not in service.output()
    assert service.terminate() == 0


def test_a_service_whose_role_may_change_the_schema_says_so(
    server: EmbeddedPostgres, serve: Callable[..., Service]
) -> None:
    service = serve(ROLLCALL_DATABASE_URL=_url(server, "rollcall_owner"), ROLLCALL_MIGRATE="false")
    [warning] = [line for line in service.output().splitlines() if "role_may_change_schema" in line]
    assert "owns tables and may create in the schema" in warning


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE TEMP TABLE mine (id int)",
        "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE INDEX ON persons (name)",
        "CREATE TRIGGER mine BEFORE INSERT ON persons "
        "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "ALTER TABLE persons ADD COLUMN mine int",
        "ALTER TABLE persons DISABLE TRIGGER ALL",
        "ALTER TABLE persons OWNER TO rollcall",
        "DROP TABLE changes",
        "TRUNCATE changes",
        "SET session_replication_role = replica",
        "SET ROLE rollcall_owner",
        "CREATE ROLE mine",
        "ALTER DATABASE rollcall SET fsync = off",
        "UPDATE alembic_version SET version_num = '0000'",
        "UPDATE audit SET record = ''",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "ALTER TABLE audit DISABLE TRIGGER audit_rows",
        "COPY persons TO '/tmp/persons'",
        "SELECT pg_read_file('/etc/passwd')",
    ],
    ids=lambda statement: " ".join(statement.split()[:5]),
)
def test_the_role_of_the_service_cannot(server: EmbeddedPostgres, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        as_role(server, "rollcall", statement)


def test_the_role_of_the_service_can_give_its_rights_to_nobody(server: EmbeddedPostgres) -> None:
    rights = "SELECT relacl::text FROM pg_class WHERE oid = 'persons'::regclass"
    before = value(server, "rollcall", rights)
    as_role(server, "rollcall", "GRANT SELECT ON persons TO PUBLIC")  # a warning, and no effect
    assert value(server, "rollcall", rights) == before


def test_the_role_of_the_service_owns_nothing(server: EmbeddedPostgres) -> None:
    owned = (
        "SELECT count(*) FROM pg_shdepend WHERE deptype = 'o' "
        "AND refobjid = (SELECT oid FROM pg_roles WHERE rolname = 'rollcall')"
    )
    assert value(server, "postgres", owned) == 0
    assert (
        value(
            server,
            "postgres",
            "SELECT count(*) FROM pg_auth_members m JOIN pg_roles r "
            "ON r.oid = m.member WHERE rolname IN ('rollcall', 'rollcall_owner')",
        )
        == 0
    )


def test_a_table_can_be_left_with_fewer_rights(server: EmbeddedPostgres) -> None:
    as_role(
        server,
        "rollcall_owner",
        "CREATE TABLE journal (entry int)",
        "GRANT ALL ON journal TO PUBLIC",
        roles.leaving_only("journal", ("SELECT", "INSERT")),
    )
    try:
        as_role(server, "rollcall", "INSERT INTO journal VALUES (1)")
        assert value(server, "rollcall", "SELECT count(*) FROM journal") == 1
        for statement in (
            "UPDATE journal SET entry = 2",
            "DELETE FROM journal",
            "TRUNCATE journal",
            "CREATE TRIGGER mine BEFORE INSERT ON journal "
            "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                as_role(server, "rollcall", statement)
        as_role(server, "rollcall_owner", "UPDATE journal SET entry = 2")
    finally:
        as_role(server, "rollcall_owner", "DROP TABLE journal")


def test_the_roles_of_a_volume_are_made_again_with_other_passwords(
    server: EmbeddedPostgres,
) -> None:
    stored = "SELECT rolpassword FROM pg_authid WHERE rolname = 'rollcall'"
    before = value(server, "postgres", stored)
    done = initialise(server.socket_folder, **{"ROLLCALL_DB_PASSWORD": "service-2"})
    assert done.returncode == 0, done.stderr
    after = value(server, "postgres", stored)
    assert before != after
    assert after.startswith("SCRAM-SHA-256$")


def test_a_volume_whose_service_owned_its_tables_is_taken_over(server: EmbeddedPostgres) -> None:
    as_role(
        server,
        "postgres",
        "ALTER DATABASE rollcall OWNER TO rollcall",
        "REASSIGN OWNED BY rollcall_owner TO rollcall",
        "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM rollcall_owner",
    )
    as_role(server, "rollcall", "ALTER TABLE persons ADD COLUMN mine int")
    done = initialise(server.socket_folder)
    assert done.returncode == 0, done.stderr
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        as_role(server, "rollcall", "ALTER TABLE persons DROP COLUMN mine")
    as_role(server, "rollcall_owner", "ALTER TABLE persons DROP COLUMN mine")
    assert value(server, "rollcall", "SELECT count(*) FROM persons") == 0
    as_role(server, "rollcall", "DELETE FROM persons")


@pytest.mark.parametrize(
    ("passwords", "said"),
    [
        ({"ROLLCALL_DB_PASSWORD": ""}, "ROLLCALL_DB_PASSWORD is empty"),
        ({"ROLLCALL_DB_OWNER_PASSWORD": ""}, "ROLLCALL_DB_OWNER_PASSWORD is empty"),
        ({"ROLLCALL_DB_OWNER_PASSWORD": "a/b"}, "becomes part of a URL"),
        ({"ROLLCALL_DB_OWNER_PASSWORD": "service-1"}, "must differ"),
        ({"ROLLCALL_DB_PASSWORD": "operator"}, "must differ"),
    ],
)
def test_passwords_that_cannot_be_used_are_refused(
    tmp_path: Path, passwords: dict[str, str], said: str
) -> None:
    refused = initialise(tmp_path, **passwords)
    assert refused.returncode != 0
    assert said in refused.stderr
