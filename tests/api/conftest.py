"""A service that asks for keys, and an admin's key to it."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.command_line import make_on_command_line
from tests.conftest import TEMPLATE, execute
from tests.service import SECRET, Service

KeyMaker = Callable[..., Any]


@pytest.fixture(scope="session")
def guarded_service(
    tiny_pack: Path, postgres: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    asyncio.run(execute(postgres, f"CREATE DATABASE guarded TEMPLATE {TEMPLATE}"))
    service = Service(
        {
            "ROLLCALL_DATABASE_URL": postgres.format("guarded"),
            "ROLLCALL_SECRET": SECRET,
            "ROLLCALL_PACK": str(tiny_pack),
            "ROLLCALL_DATA_DIR": str(tmp_path_factory.mktemp("guarded")),
            "ROLLCALL_REQUIRE_KEYS": "true",
        }
    )
    try:
        service.wait_until_ready()
        yield service
    finally:
        service.kill()


@pytest.fixture(scope="session")
def admin(guarded_service: Service) -> Iterator[httpx.Client]:
    """Made on the command line, as a first key must be."""
    secret = make_on_command_line(guarded_service, "--scope", "admin")
    with guarded_service.client() as client:
        client.headers["Authorization"] = f"Bearer {secret}"
        yield client


@pytest.fixture(scope="session")
def make_key(admin: httpx.Client) -> KeyMaker:
    """Makes keys over HTTP; answers with what the service says of a new one."""

    def make(*scopes: str, **wish: Any) -> Any:
        answer = admin.post("/keys", json={"name": "test", "scopes": scopes, **wish})
        assert answer.status_code == 201, answer.text
        return answer.json()

    return make


@pytest.fixture(scope="session")
def caller(guarded_service: Service, make_key: KeyMaker) -> Iterator[Callable[..., httpx.Client]]:
    """Clients with keys of their own."""
    clients: list[httpx.Client] = []

    def call(*scopes: str, **wish: Any) -> httpx.Client:
        client = guarded_service.client()
        client.headers["Authorization"] = f"Bearer {make_key(*scopes, **wish)['secret']}"
        clients.append(client)
        return client

    yield call
    for client in clients:
        client.close()
