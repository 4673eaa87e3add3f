"""A service whose CompreFace door is open, with keys to it."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.command_line import make_on_command_line
from tests.conftest import TEMPLATE, execute
from tests.service import SECRET, Service
from tests.tiny_pack import write_tiny_calibration, write_tiny_pack

EVERY = ("identify", "verify", "enroll", "read", "delete", "embeddings")
"""The scopes of a key that may do here what a key of CompreFace may do there."""


@pytest.fixture(scope="session")
def house(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    asyncio.run(execute(postgres, f"CREATE DATABASE compreface TEMPLATE {TEMPLATE}"))
    folder = tmp_path_factory.mktemp("compreface")
    pack = write_tiny_pack(folder / "tiny")
    write_tiny_calibration(pack)
    service = Service(
        {
            "ROLLCALL_DATABASE_URL": postgres.format("compreface"),
            "ROLLCALL_SECRET": SECRET,
            "ROLLCALL_PACK": str(pack),
            "ROLLCALL_DATA_DIR": str(folder / "data"),
            "ROLLCALL_REQUIRE_KEYS": "true",
            "ROLLCALL_KEEP_CROPS": "true",
            "ROLLCALL_VERIFY_FAILURES": "3",
            "ROLLCALL_DOORS": '["compreface"]',
        }
    )
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.kill()


@pytest.fixture(scope="session")
def admin(house: Service) -> Iterator[httpx.Client]:
    with house.client() as client:
        secret = make_on_command_line(house, "--scope", "admin")
        client.headers["Authorization"] = f"Bearer {secret}"
        yield client


@pytest.fixture(scope="session")
def key(admin: httpx.Client) -> Callable[..., str]:
    """Makes keys: to a collection of its own unless told otherwise. Answers with their text."""

    def make(*scopes: str, **wish: Any) -> str:
        wish = {"collections": [f"c-{uuid4().hex[:12]}"], **wish}
        answer = admin.post("/keys", json={"name": "x", "scopes": scopes or EVERY, **wish})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["secret"])

    return make


@pytest.fixture(scope="session")
def visitor(house: Service, key: Callable[..., str]) -> Iterator[Callable[..., httpx.Client]]:
    """Callers of the door, each with a key of its own."""
    clients: list[httpx.Client] = []

    def call(*scopes: str, **wish: Any) -> httpx.Client:
        client = httpx.Client(base_url=f"{house.url}/api/v1", timeout=120)
        client.headers["x-api-key"] = key(*scopes, **wish)
        clients.append(client)
        return client

    yield call
    for client in clients:
        client.close()
