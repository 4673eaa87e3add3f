"""Five times as much as can be done: what is accepted stays quick, the rest hears so at once."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import psutil
import pytest

from tests.service import ROOT, Service

CORES = len(psutil.Process().cpu_affinity())


@dataclass(frozen=True)
class Heard:
    """What a run of the generator heard: seconds of those served and of those refused."""

    served: list[float]
    refused: list[float]
    retry_after: list[str]
    broken: int
    left_out: int
    other: list[int]

    @classmethod
    def of(cls, raw: list[Any]) -> "Heard":
        refusals = [(seconds, wait) for seconds, status, wait in raw if status in (429, 503)]
        return cls(
            served=[seconds for seconds, status, _ in raw if status == 200],
            refused=[seconds for seconds, _ in refusals],
            retry_after=[wait for _, wait in refusals],
            broken=sum(status == 0 for _, status, _ in raw),
            left_out=sum(status == -1 for _, status, _ in raw),
            other=[status for _, status, _ in raw if status not in (200, 429, 503, 0, -1)],
        )


@dataclass(frozen=True)
class Asking:
    """/identify of one picture, as the generator is told of it."""

    file: Path
    boundary: str
    collection: str

    def load(self, service: Service, kind: str, number: float, seconds: float) -> Heard:
        command = [sys.executable, "-m", "tests.load", service.url, "/identify"]
        command += [str(self.file), self.boundary, kind, str(number), str(seconds)]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, timeout=seconds + 120, check=True
        )
        return Heard.of(json.loads(done.stdout))


def asking(client: httpx.Client, collection: str, picture: bytes, folder: Path) -> Asking:
    """Enrol the picture and write down the body that asks for it."""
    answer = client.post(
        "/enroll", files={"images": picture}, data={"collection": collection, "face": "largest"}
    )
    assert answer.status_code == 201, answer.text
    request = client.build_request(
        "POST",
        "/identify",
        files={"image": picture},
        # Every face: asked for one alone the tiny pack is done so fast that five times as much is
        # more than the generator can send from the same cores.
        data={"collection": collection, "max_faces": "0"},
    )
    file = folder / "body"
    file.write_bytes(request.read())
    boundary = request.headers["content-type"].partition("boundary=")[2]
    return Asking(file, boundary, collection)


def small(photo: bytes) -> bytes:
    """The head of the astronaut, about 20 kB of JPEG."""
    pixels = cv2.imdecode(np.frombuffer(photo, np.uint8), cv2.IMREAD_COLOR)
    return cv2.imencode(".jpg", pixels[0:300, 80:380])[1].tobytes()


def percentile(seconds: list[float], share: float) -> float:
    return float(np.percentile(seconds, share))


def alone(service: Service, ask: Asking, count: int = 15) -> float:
    """Median seconds of a request that has the service to itself."""
    headers = {"Content-Type": f"multipart/form-data; boundary={ask.boundary}"}
    took = []
    with service.client() as client:
        for _ in range(count):
            begin = time.perf_counter()
            answer = client.post("/identify", content=ask.file.read_bytes(), headers=headers)
            took.append(time.perf_counter() - begin)
            assert answer.status_code == 200, answer.text
    return percentile(took, 50)


def overload(service: Service, ask: Asking, rate: float, seconds: float) -> tuple[float, Heard]:
    """Five times too much. What must hold however busy the machine is holds; the p99 of those who
    were accepted, and what was heard, are for the caller to judge."""
    process = psutil.Process(service.process.pid)
    before, memory = alone(service, ask), process.memory_info().rss
    heard = ask.load(service, "open", rate, seconds)
    after, grown = alone(service, ask), process.memory_info().rss - memory
    p99 = percentile(heard.served, 99)
    print(
        f"open loop of {rate:.0f}/s for {seconds:g} s: served {len(heard.served)}, "
        f"p50 {percentile(heard.served, 50):.3f} s, p99 {p99:.3f} s; "
        f"refused {len(heard.refused)}, p50 {percentile(heard.refused, 50):.3f} s, "
        f"p99 {percentile(heard.refused, 99):.3f} s; broken {heard.broken}, "
        f"left out {heard.left_out}; alone before {before:.3f} s, after {after:.3f} s; "
        f"memory {grown / 1e6:+.0f} MB"
    )
    assert heard.refused, "the load was too much"
    assert all(wait.isdigit() and int(wait) >= 1 for wait in heard.retry_after)
    assert not heard.other
    assert heard.broken == 0
    assert heard.left_out <= 0.02 * rate * seconds
    assert len(heard.served) > 0.2 * seconds * rate / 5, "work went on"
    assert service.process.poll() is None
    assert grown < 150e6
    assert after < 3 * before + 0.2
    return p99, heard


def test_at_five_times_its_capacity_it_stays_quick_for_those_it_accepts(
    shared_service: Service,
    serve: Any,
    client: httpx.Client,
    collection: str,
    astronaut: bytes,
    tmp_path: Path,
) -> None:
    """Baseline: a closed loop of 8 clients for each worker, which saturates every core.

    The bound of the queue is a setting in seconds, and what a saturated service takes depends on
    machine and picture. So the test sets it to half of the baseline's median, as an
    operator would who wants this promise (an image waits in two queues, and refusing takes
    processor time from those who were accepted); the default allows 1.5 s, for crowds. Generator
    and service share the cores: capacity is lower than alone, in baseline and overload alike, and
    what a refusal takes is mostly the generator's own waiting for a core.
    """
    quick = []
    for turn in range(3):  # a neighbour on the machine may spoil a run, hardly three
        ask = asking(client, collection, small(astronaut), tmp_path)
        baseline = ask.load(shared_service, "closed", 8 * CORES, 4)
        capacity = len(baseline.served) / 4
        median, p99 = (percentile(baseline.served, share) for share in (50, 99))
        print(
            f"\nclosed loop of {8 * CORES}: {capacity:.0f}/s, p50 {median:.3f} s, "
            f"p99 {p99:.3f} s, refused {len(baseline.refused)}"
        )
        service = serve(ROLLCALL_QUEUE_SECONDS=f"{0.5 * median:.3f}")
        with service.client() as own:
            ask = asking(own, f"{collection}-{turn}", small(astronaut), tmp_path)
        accepted, heard = overload(service, ask, rate=5 * capacity, seconds=5)
        service.kill()
        quick.append(
            accepted <= 3 * p99
            and percentile(heard.refused, 50) <= 0.5
            and percentile(heard.refused, 99) <= max(1.0, median)
        )
        if quick[-1]:
            break
    assert any(quick)


@pytest.mark.long
def test_at_the_default_a_crowd_of_64_is_served_and_five_times_too_much_is_not(
    serve: Any, collection: str, group: bytes, tmp_path: Path
) -> None:
    """Baseline: a closed loop of 32 clients for each worker with a photo of 1280 x 886 pixels and
    six faces, the crowd that the default is made for: not one of them is refused."""
    service = serve()
    with service.client() as own:
        ask = asking(own, collection, group, tmp_path)
    ask.load(service, "closed", 4, 3)
    baseline = ask.load(service, "closed", 32 * CORES, 20)
    capacity = len(baseline.served) / 20
    p99 = percentile(baseline.served, 99)
    print(f"\nclosed loop of {32 * CORES}: {capacity:.0f}/s, p99 {p99:.3f} s")
    assert not baseline.refused
    accepted, heard = overload(service, ask, rate=5 * capacity, seconds=30)
    assert accepted <= 3 * p99
    assert percentile(heard.refused, 99) <= 0.5
