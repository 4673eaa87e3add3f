"""A server that says that it recovers, while nothing recovers it, is killed and started again."""

import asyncio
import time
from pathlib import Path

import asyncpg
import pytest

from app.store.embedded import EmbeddedPostgres


def test_a_server_that_only_says_that_it_recovers_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen after a failed fsync, now and then. It cannot be provoked, so the question is mocked."""
    server = EmbeddedPostgres(tmp_path / "pg")

    def process() -> int:
        return int((server.folder / "data" / "postmaster.pid").read_text().split("\n", 1)[0])

    async def work() -> None:
        async with server.running() as url:
            first = process()

            async def stuck() -> bool:
                return process() == first

            monkeypatch.setattr(server, "_is_stuck", stuck)
            give_up = time.monotonic() + 60
            while True:
                assert time.monotonic() < give_up, "it was not started again"
                await asyncio.sleep(0.2)
                try:
                    connection = await asyncpg.connect(url, timeout=2)
                except (OSError, TimeoutError, asyncpg.PostgresError):
                    continue
                await connection.close()
                if process() != first:
                    return

    asyncio.run(work())


def test_a_server_that_works_is_not_taken_for_one_that_does_not(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg")

    async def work() -> None:
        async with server.running():
            assert not await server._is_stuck()
            assert not server._recovers()  # there is no startup process once it has started

    asyncio.run(work())
