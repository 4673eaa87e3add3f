"""The disk of PostgreSQL is full, and has room again."""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from app.store.embedded import EmbeddedPostgres
from tests.service import Service
from tests.traffic import recovers, refused_in_time, through_faults


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 160 MB."""
    if os.geteuid() != 0:
        pytest.skip("no root here, which a small disk is mounted by")
    disk = tmp_path / "data" / "postgres"
    disk.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160m", "none", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no mounts here: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def fill(disk: Path) -> None:
    with (disk / "ballast").open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass


def test_a_full_disk_acknowledges_nothing_and_passes(
    small_disk: Path, tiny_pack: Path, hanks: bytes
) -> None:
    service = Service(
        {
            "ROLLCALL_PACK": str(tiny_pack),
            "ROLLCALL_DATA_DIR": str(small_disk.parent),
            "ROLLCALL_DEADLINE": "5",
        }
    )
    postgres = EmbeddedPostgres(small_disk)
    ballast = small_disk / "ballast"

    async def begin_new_wal() -> None:
        connection = await asyncpg.connect(postgres.url)
        try:
            await connection.execute("SELECT pg_switch_wal()")
        finally:
            await connection.close()

    def fill_to_the_log() -> None:
        """Not even the write-ahead log has room: PostgreSQL gives up."""
        fill(small_disk)
        with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError):
            asyncio.run(begin_new_wal())  # it may give up over this very statement

    try:
        service.wait_until_ready()
        with through_faults(service, hanks, postgres.url) as traffic:
            refused_in_time(traffic, lambda: fill(small_disk))
            ballast.unlink()
            recovers(traffic)
            refused_in_time(traffic, fill_to_the_log)
            ballast.unlink()
            recovers(traffic)
        assert service.terminate() == 0
    finally:
        service.kill()
        ballast.unlink(missing_ok=True)
        asyncio.run(postgres.stop())
