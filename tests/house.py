"""A service with an embedded PostgreSQL, for tests in which either dies again and again."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from app.store.embedded import EmbeddedPostgres
from tests.service import Service
from tests.traffic import Traffic, check_whole
from tests.waiting import wait_until


class House:
    """A service with an embedded PostgreSQL, started again and again under traffic."""

    def __init__(self, pack: Path, folder: Path, traffic: Traffic) -> None:
        self.folder = folder
        self.postgres = EmbeddedPostgres(folder / "postgres")
        self.traffic = traffic
        self.service: Service | None = None
        self._settings = {
            "ROLLCALL_PACK": str(pack),
            "ROLLCALL_DATA_DIR": str(folder),
            "ROLLCALL_SNAPSHOT_INTERVAL": "0.3",
            "ROLLCALL_DEADLINE": "5",  # leases of killed requests run out soon after
        }

    def start(self, plan: str = "") -> Service:
        """In place of the process before; the PostgreSQL that it left running is taken over."""
        if self.service is not None:
            self.service.kill()
        self.service = Service({**self._settings, "ROLLCALL_FAILPOINTS": plan})
        try:
            self.service.wait_until_listening()
        except AssertionError:
            if not plan or self.service.process.poll() != -9:
                raise  # else it died as it should, only sooner than it could say where it listens
        self.traffic.url = self.service.url
        return self.service

    def service_dies(self, plan: str) -> None:
        service = self.start(plan)
        wait_until(lambda: service.process.poll() is not None, f"{plan}: nobody died")
        assert service.process.returncode == -9, service.output()

    def postgres_dies(self, plan: str, times: int) -> None:
        """`times` deaths at the places of `plan`, which ends each in `#EVERY`."""
        pid_file = self.postgres.folder / "data" / "postmaster.pid"
        service = self.start(plan.replace("=kill", f"=kill:{pid_file}"))
        wait_until(
            lambda: service.output().count("postgres.restarted") >= times,
            f"{plan}: PostgreSQL did not die and come back {times} times",
        )
        assert service.process.poll() is None

    def postmaster(self) -> psutil.Process:
        """Of the PostgreSQL that runs; awaited while it starts again."""
        pid_file = self.postgres.folder / "data" / "postmaster.pid"
        wait_until(pid_file.exists, "there is no PostgreSQL")
        return psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))

    def close(self) -> None:
        if self.service is not None:
            self.service.kill()
        asyncio.run(self.postgres.stop())


@contextmanager
def under_traffic(pack: Path, folder: Path, image: bytes) -> Iterator[House]:
    """Faults happen inside; afterwards everything that was answered is as it was answered."""
    traffic = Traffic(image)
    house = House(pack, folder, traffic)
    try:
        house.start().wait_until_ready()
        with traffic.flowing():
            traffic.wait_for_answers(10)
            yield house
            traffic.nothing_wrong()
            house.start().wait_until_ready()
            traffic.wait_for_answers(5)
        assert house.service is not None
        traffic.settle()
        with house.service.client() as client:
            check_whole(traffic, client, asyncio.run(house.postgres.start()))
        assert house.service.terminate() == 0
    finally:
        house.close()
