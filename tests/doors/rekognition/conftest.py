"""A service whose doors are open, and keys to it."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from botocore.client import BaseClient

from tests.command_line import make_on_command_line
from tests.conftest import TEMPLATE, execute
from tests.doors.rekognition import speaking
from tests.doors.rekognition.speaking import Signing
from tests.service import SECRET, Service
from tests.tiny_pack import write_tiny_calibration, write_tiny_pack

EVERYDAY = ("identify", "verify", "enroll", "read", "delete")


@pytest.fixture(scope="session")
def open_service(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """On loopback and without asking for keys: the door asks all the same."""
    asyncio.run(execute(postgres, f"CREATE DATABASE doors TEMPLATE {TEMPLATE}"))
    pack = write_tiny_pack(tmp_path_factory.mktemp("packs") / "calibrated")
    write_tiny_calibration(pack)
    service = Service(
        {
            "ROLLCALL_DATABASE_URL": postgres.format("doors"),
            "ROLLCALL_SECRET": SECRET,
            "ROLLCALL_PACK": str(pack),
            "ROLLCALL_DATA_DIR": str(tmp_path_factory.mktemp("doors")),
            "ROLLCALL_DOORS": '["rekognition"]',
            "ROLLCALL_MAX_IMAGE_BYTES": "3000000",
        }
    )
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.kill()


@pytest.fixture(scope="session")
def replica(open_service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Another process of it, which enrols nobody without consent."""
    service = Service(
        {
            **open_service.settings,
            "ROLLCALL_DATA_DIR": str(tmp_path_factory.mktemp("replica")),
            "ROLLCALL_REQUIRE_CONSENT": "true",
        }
    )
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.kill()


@pytest.fixture(scope="session")
def admin(open_service: Service) -> Iterator[httpx.Client]:
    secret = make_on_command_line(open_service, "--scope", "admin", "--scope", "read")
    with open_service.client() as client:
        client.headers["Authorization"] = f"Bearer {secret}"
        yield client


@pytest.fixture(scope="session")
def signing(open_service: Service, admin: httpx.Client) -> Callable[..., Signing]:
    """Makes keys, and gives what boto3 takes of each."""

    def make(*scopes: str, **wish: Any) -> Signing:
        asked = {"name": "test", "scopes": scopes or EVERYDAY, **wish}
        answer = admin.post("/keys", json=asked)
        assert answer.status_code == 201, answer.text
        return speaking.credentials(open_service, answer.json()["id"])

    return make


@pytest.fixture(scope="session")
def boto(open_service: Service, signing: Callable[..., Signing]) -> BaseClient:
    """A client with a key for everything but the running of the service."""
    return speaking.client(open_service.url, signing())


@pytest.fixture
def people(boto: BaseClient, collection: str) -> str:
    """An empty collection."""
    boto.create_collection(CollectionId=collection)
    return collection
