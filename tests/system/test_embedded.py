"""The embedded PostgreSQL dies, hangs or is stopped under the running service."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from app.store.embedded import EmbeddedPostgres
from tests.service import Service
from tests.traffic import recovers, refused_in_time, through_faults
from tests.waiting import wait_until


@pytest.fixture
def service(tiny_pack: Path, tmp_path: Path) -> Iterator[Service]:
    service = Service(
        {
            "ROLLCALL_PACK": str(tiny_pack),
            "ROLLCALL_DATA_DIR": str(tmp_path / "data"),
            "ROLLCALL_DEADLINE": "5",
        }
    )
    try:
        service.wait_until_ready()
        yield service
        assert service.terminate() == 0, "it stops what it started again"
        assert not (tmp_path / "data" / "postgres" / "data" / "postmaster.pid").exists()
    finally:
        service.kill()


def postmaster(folder: Path) -> psutil.Process:
    pid_file = folder / "data" / "postgres" / "data" / "postmaster.pid"
    return psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))


def url(folder: Path) -> str:
    return EmbeddedPostgres(folder / "data" / "postgres").url


def test_a_postgres_that_dies_is_started_again_by_the_service(
    service: Service, tmp_path: Path, hanks: bytes
) -> None:
    with through_faults(service, hanks, url(tmp_path)) as traffic:
        for times, sign in enumerate((signal.SIGKILL, signal.SIGQUIT, signal.SIGINT), 1):
            before = postmaster(tmp_path)
            refused_in_time(traffic, partial(before.send_signal, sign), least=1)
            recovers(traffic)
            wait_until(
                lambda n=times: service.output().count('"postgres.restarted"') >= n,
                "PostgreSQL was not started again",
            )
            assert postmaster(tmp_path).pid != before.pid


def test_a_postgres_that_hangs_costs_refusals_in_time_and_nothing_else(
    service: Service, tmp_path: Path, hanks: bytes
) -> None:
    def everything(sign: signal.Signals) -> None:
        parent = postmaster(tmp_path)
        for process in (parent, *parent.children(recursive=True)):
            os.kill(process.pid, sign)

    with through_faults(service, hanks, url(tmp_path)) as traffic:
        refused_in_time(traffic, lambda: everything(signal.SIGSTOP), least=12)
        for path in ("healthz", "readyz", "metrics"):
            assert httpx.get(f"{service.url}/{path}", timeout=5).status_code == 200
        answer = httpx.post(f"{service.url}/identify", files={"image": hanks}, timeout=10)
        assert answer.status_code == 200
        [face] = answer.json()["faces"]
        # Names cannot be read; where all were erased a moment ago there are none to read.
        assert answer.json()["details"] is not bool(face["candidates"])
        everything(signal.SIGCONT)
        recovers(traffic)
    assert "postgres.died" not in service.output(), "what hangs is not killed"
