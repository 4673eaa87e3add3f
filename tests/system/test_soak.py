"""Traffic for a long time, and a fault now and then: `make soak` for an hour, one each minute."""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from pathlib import Path

import httpx
import psutil
import pytest

from tests.house import House, under_traffic
from tests.traffic import recovers

MINUTES = float(os.environ.get("SOAK_MINUTES", "60"))
# What a process may grow by between its first minute and any later one.
GROWTH = 200e6


class Faults:
    """What befalls a house. Each returns when it is over; what comes after is the house's."""

    def __init__(self, house: House, image: bytes) -> None:
        self._house = house
        self._image = image

    def service_killed(self) -> None:
        self._house.start()

    def postgres_killed(self) -> None:
        self._house.postmaster().kill()

    def postgres_restarted(self) -> None:
        self._house.postmaster().send_signal(signal.SIGINT)

    def postgres_hung(self) -> None:
        parent = self._house.postmaster()
        everyone = [parent, *parent.children(recursive=True)]
        for sign, pause in ((signal.SIGSTOP, 5), (signal.SIGCONT, 0)):
            for process in everyone:
                with_it(process, sign)
            time.sleep(pause)

    def snapshot_damaged(self) -> None:
        for snapshot in (self._house.folder / "snapshots").glob("*.snapshot"):
            try:
                body = bytearray(snapshot.read_bytes())
                body[len(body) // 2] ^= 1
                snapshot.write_bytes(body)
            except FileNotFoundError:
                continue  # an erasure removed it in this moment
        self._house.start()

    def overloaded(self) -> None:
        url = self._house.traffic.url
        with httpx.Client(timeout=60, limits=httpx.Limits(max_connections=64)) as client:

            def ask(_: int) -> int:
                return client.post(f"{url}/identify", files={"image": self._image}).status_code

            with ThreadPoolExecutor(64) as pool:
                answered = set(pool.map(ask, range(200)))
        assert answered <= {200, 429, 503}, answered

    def all(self) -> list[Callable[[], None]]:
        return [
            self.service_killed,
            self.postgres_killed,
            self.postgres_hung,
            self.snapshot_damaged,
            self.postgres_restarted,
            self.overloaded,
        ]


def with_it(process: psutil.Process, sign: signal.Signals) -> None:
    try:
        process.send_signal(sign)
    except psutil.NoSuchProcess:
        return  # a session that ended meanwhile


def soak(house: House, image: bytes, *, seconds: float, between: float) -> None:
    memory: list[int] = []
    faults = cycle(Faults(house, image).all())
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        next(faults)()
        recovers(house.traffic)
        quiet = time.monotonic() + between
        while time.monotonic() < min(quiet, end):
            house.traffic.nothing_wrong()
            assert house.service is not None
            memory.append(psutil.Process(house.service.process.pid).memory_info().rss)
            time.sleep(min(1.0, between))
    first = memory[: max(6, len(memory) // 10)]
    assert max(memory) < max(first) + GROWTH, [round(each / 1e6) for each in memory]


def test_each_fault_once_under_traffic(tiny_pack: Path, tmp_path: Path, hanks: bytes) -> None:
    with under_traffic(tiny_pack, tmp_path / "data", hanks) as house:
        for fault in Faults(house, hanks).all():
            fault()
            recovers(house.traffic)


@pytest.mark.long
@pytest.mark.timeout(60 * MINUTES + 600)
def test_an_hour_with_a_fault_a_minute(tiny_pack: Path, tmp_path: Path, hanks: bytes) -> None:
    with under_traffic(tiny_pack, tmp_path / "data", hanks) as house:
        soak(house, hanks, seconds=60 * MINUTES, between=60 if MINUTES >= 30 else 10)
