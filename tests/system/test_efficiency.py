"""Nothing got slower by multiples: ratios of one run on one machine, and never seconds.

The floors are far below what is measured (docs/performance.md): a busy neighbour does not reach
them, a stage that computes twice or a thread that holds up the others does. Best of three.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import httpx
import numpy as np
import psutil

from app.gallery.search import search
from benchmarks.pipeline import OwnClasses
from benchmarks.search import loaded, unit_vectors
from tests.service import ROOT, Service

CORES = len(psutil.Process().cpu_affinity() or [0])
SECONDS = 1.5


def best_of_three(ratio: Callable[[], float], floor: float) -> float:
    found = 0.0
    for _ in range(3):
        found = max(found, ratio())
        if found >= floor:
            break
    return found


def test_the_service_has_a_fair_share_of_the_bare_pipelines_pace(
    shared_service: Service,
    client: httpx.Client,
    collection: str,
    astronaut: bytes,
    tiny_pack: Path,
    tmp_path: Path,
) -> None:
    """The tiny pack has nearly no recognizer, so that what surrounds it counts most here."""
    pixels = cv2.imdecode(np.frombuffer(astronaut, np.uint8), cv2.IMREAD_COLOR)
    picture = cv2.imencode(".jpg", pixels[0:300, 80:380])[1].tobytes()
    client.post("/enroll", files={"images": picture}, data={"collection": collection})
    asked = client.build_request(
        "POST", "/identify", files={"image": picture}, data={"collection": collection}
    )
    (tmp_path / "body").write_bytes(asked.read())
    boundary = asked.headers["content-type"].partition("boundary=")[2]
    pipeline = OwnClasses(str(tiny_pack))

    def bare(_: int) -> int:
        end, count = time.perf_counter() + SECONDS, 0
        while time.perf_counter() < end:
            assert pipeline.embedding(picture) is not None
            count += 1
        return count

    def share() -> float:
        with ThreadPoolExecutor(CORES) as threads:
            pace = sum(threads.map(bare, range(CORES))) / SECONDS
        command = [sys.executable, "-m", "tests.load", shared_service.url, "/identify"]
        command += [str(tmp_path / "body"), boundary, "closed", str(4 * CORES), str(SECONDS)]
        heard = json.loads(
            subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout
        )
        served = sum(status == 200 for _, status, _ in heard) / SECONDS
        print(f"\nbare {pace:.0f} pictures/s, service {served:.0f} requests/s")
        return served / pace

    assert best_of_three(share, 0.2) >= 0.2


def test_a_batch_of_searches_is_not_far_from_the_bare_product() -> None:
    random = np.random.default_rng(0)
    rows = unit_vectors(random, 40_000)
    state = loaded(iter([rows]))
    probes = unit_vectors(random, 64)
    turned = np.ascontiguousarray(rows.T)

    def seconds(call: Callable[[], object]) -> float:
        begin = time.perf_counter()
        call()
        return time.perf_counter() - begin

    def share() -> float:
        bare = seconds(lambda: np.argpartition(-(probes @ turned), 10, axis=1))
        return bare / seconds(lambda: search(state, probes, 5))

    assert best_of_three(share, 0.25) >= 0.25
