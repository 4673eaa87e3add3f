"""What tests stand on: a real PostgreSQL, real photos, real processes of the service."""

import asyncio
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest
from hypothesis import settings

from app import logs
from app.store import migrate
from app.store.database import Database
from app.store.embedded import EmbeddedPostgres
from tests.service import SECRET, Service
from tests.tiny_pack import write_tiny_pack

TEMPLATE = "rollcall_template"

# A busy machine is no fault of the code under test.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
logs.configure("error")


@pytest.fixture(autouse=True)
def logs_of_no_other_test() -> Iterator[None]:
    """A command that was run in this process logs to what pytest captured, which is closed now."""
    yield
    logs.configure("error")


@pytest.fixture
def short_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For a PostgreSQL whose socket is opened by its address, which has 107 bytes at most."""
    return tmp_path_factory.mktemp("s")


def _in_wheel(package: str, *parts: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0], *parts)


@pytest.fixture(scope="session")
def group() -> bytes:
    """A photo of six people."""
    return _in_wheel("insightface", "data", "images", "t1.jpg").read_bytes()


@pytest.fixture(scope="session")
def hanks() -> bytes:
    return _in_wheel("insightface", "data", "images", "Tom_Hanks_54745.png").read_bytes()


@pytest.fixture(scope="session")
def astronaut() -> bytes:
    return _in_wheel("skimage", "data", "astronaut.png").read_bytes()


@pytest.fixture(scope="session")
def faceless() -> bytes:
    return _in_wheel("skimage", "data", "coffee.png").read_bytes()


@pytest.fixture(scope="session")
def research_data() -> Path:
    """The folder of research photos, where there is one; tests that need it are skipped else."""
    beside = Path(__file__).parent.parent.parent / "shared" / "data"
    folder = Path(os.environ.get("ROLLCALL_TEST_DATA", beside))
    if not (folder / "lfw" / "identify" / "enrol.csv").exists():
        pytest.skip("no research photos here (ROLLCALL_TEST_DATA)")
    return folder


@pytest.fixture(scope="session")
def tiny_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_pack(tmp_path_factory.mktemp("packs") / "tiny")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a server with a migrated template database, without a database's name."""
    # Not below pytest's own folder: the next session closes that to the server's user.
    folder = Path(tempfile.mkdtemp(prefix="rollcall-test-pg-"))
    server = EmbeddedPostgres(folder)
    url = asyncio.run(server.start())
    base = url.replace("/rollcall?", "/{}?")

    # Services that are kept for the session add up, with ten connections each.
    asyncio.run(execute(base, "ALTER SYSTEM SET max_connections = 400"))
    asyncio.run(server.stop())
    asyncio.run(server.start())

    async def prepare() -> None:
        await execute(base, f"CREATE DATABASE {TEMPLATE}")
        database = Database(base.format(TEMPLATE), pool=2)
        await migrate.upgrade(database)
        await database.close()

    asyncio.run(prepare())
    yield base
    asyncio.run(server.stop())
    shutil.rmtree(folder)


async def execute(base: str, statement: str) -> None:
    connection = await asyncpg.connect(base.format("postgres"))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def database_url(postgres: str) -> Iterator[str]:
    """A database of its own, copied from the migrated template."""
    name = f"test_{uuid4().hex[:12]}"
    asyncio.run(execute(postgres, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}"))
    yield postgres.format(name)
    asyncio.run(execute(postgres, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def serve(tiny_pack: Path, database_url: str, tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts processes of the service on one database; all are stopped in the end."""
    services: list[Service] = []

    def start(**settings: str) -> Service:
        given = {
            "ROLLCALL_DATABASE_URL": database_url,
            "ROLLCALL_SECRET": SECRET,
            "ROLLCALL_PACK": str(tiny_pack),
            "ROLLCALL_DATA_DIR": str(tmp_path / f"data{len(services)}"),
            **settings,
        }
        service = Service(given)
        services.append(service)
        service.wait_until_ready()
        return service

    yield start
    for service in services:
        service.kill()


@pytest.fixture(scope="session")
def shared_service(
    tiny_pack: Path, postgres: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """One process for all tests that only ask; each works in a collection of its own."""
    asyncio.run(execute(postgres, f"CREATE DATABASE shared TEMPLATE {TEMPLATE}"))
    service = Service(
        {
            "ROLLCALL_DATABASE_URL": postgres.format("shared"),
            "ROLLCALL_SECRET": SECRET,
            "ROLLCALL_PACK": str(tiny_pack),
            "ROLLCALL_DATA_DIR": str(tmp_path_factory.mktemp("data")),
        }
    )
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.kill()


@pytest.fixture
def client(shared_service: Service) -> Iterator[httpx.Client]:
    with shared_service.client() as client:
        yield client


@pytest.fixture
def collection() -> str:
    """A name that no other test uses."""
    return f"c-{uuid4().hex[:12]}"
