"""How long a service with a large gallery takes to be ready, from its snapshot and from PostgreSQL.

    python -m benchmarks.start [--templates 1000000] [--data-dir DIR] [--quick]

A data directory is filled with templates of 512 dimensions (DIR, where one is named, is kept and
used again), and services are started on it in turns: without anything enrolled, without a snapshot,
and with one. Seconds run from the start of the process to the first 200 of /readyz, and on to the
answer of a first /identify. The embedded PostgreSQL is started by each of them, too.

Beside them stand what no program could save: the time that this machine takes to hand out as much
memory as the gallery fills, and to read as many bytes from a file that it has in memory.
"""

import asyncio
import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import numpy as np

from app.vision.pack import read_pack
from benchmarks.filling import fill_folder
from benchmarks.local import own_process
from benchmarks.report import Report, in_turns, options
from tests.tiny_pack import write_tiny_pack

DIMENSION: Final = 512
NAME: Final = "people"
GOALS: Final = {"from a snapshot": 10.0, "from PostgreSQL": 30.0}


class Starts:
    """Starts services on a filled data directory, and on an empty one."""

    def __init__(self, pack: Path, filled: Path, empty: Path) -> None:
        self._pack = pack
        self._filled = filled
        self._empty = empty
        self.first_answers: dict[str, list[float]] = {}

    def empty(self) -> float:
        return self._ready("nothing enrolled", self._empty)

    def from_postgres(self) -> float:
        for path in (self._filled / "snapshots").glob("*.snapshot"):
            path.unlink()
        return self._ready("from PostgreSQL", self._filled)

    def from_snapshot(self) -> float:
        """The one that the start before it left when it was stopped."""
        if not list((self._filled / "snapshots").glob("*.snapshot")):
            raise SystemExit("the service left no snapshot")
        return self._ready("from a snapshot", self._filled)

    def _ready(self, side: str, data_dir: Path) -> float:
        begin = time.monotonic()
        with own_process(str(self._pack), ROLLCALL_DATA_DIR=str(data_dir)) as service:
            ready = time.monotonic() - begin
            if data_dir is self._filled:
                _identify(service.url)
            self.first_answers.setdefault(side, []).append(time.monotonic() - begin)
        return ready


def _identify(url: str) -> None:
    answer = httpx.post(
        f"{url}/identify",
        files={"image": _photo().read_bytes()},
        data={"collection": NAME, "threshold": "-1"},
        timeout=60,
        trust_env=False,
    )
    if not answer.is_success or not answer.json()["faces"][0]["candidates"]:
        raise SystemExit(f"nobody was found: {answer.text}")


def _photo() -> Path:
    """A face that a wheel of ours carries."""
    spec = importlib.util.find_spec("insightface")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("insightface is not installed")
    return Path(spec.submodule_search_locations[0], "data", "images", "Tom_Hanks_54745.png")


def floors(bytes_: int, file: Path) -> list[dict[str, float | str]]:
    """Seconds of this machine for taking memory, and for reading a file that lies in memory."""
    begin = time.monotonic()
    memory = np.empty(bytes_, np.uint8)
    memory[::4096] = 1
    touched = time.monotonic() - begin
    buffer = bytearray(1 << 21)
    times = []
    for _ in range(2):  # the second time it lies in memory
        begin = time.monotonic()
        with file.open("rb", buffering=0) as source:
            while source.readinto(buffer):
                pass
        times.append(time.monotonic() - begin)
    return [
        {"start": "floor: as much memory, touched", "ready s": round(touched, 2)},
        {"start": "floor: the snapshot's file, read", "ready s": round(min(times), 2)},
    ]


@contextmanager
def filled_folder(kept: Path | None, pack: Path, templates: int) -> Iterator[Path]:
    """A data directory with a collection of so many, filled unless one that is kept was before."""
    with tempfile.TemporaryDirectory(prefix="rollcall-bench-") as folder:
        data_dir = kept or Path(folder, "data")
        if not (data_dir / "postgres").exists():
            found = read_pack(pack)
            begin = time.monotonic()
            asyncio.run(fill_folder(data_dir, NAME, found.model, DIMENSION, templates))
            print(f"filled in {time.monotonic() - begin:.0f} s", file=sys.stderr)
        yield data_dir


def main() -> None:
    root = options(__doc__ or "")
    root.add_argument("--templates", type=int, default=1_000_000)
    root.add_argument("--data-dir", type=Path, help="filled if it is not there, and kept")
    root.add_argument("--rounds", type=int, default=3)
    given = root.parse_args()
    templates = 20_000 if given.quick else given.templates
    rounds = 1 if given.quick else given.rounds
    report = Report("start", f"How soon is a service with {templates:,} templates x 512 ready?")
    with tempfile.TemporaryDirectory(prefix="rollcall-bench-") as folder:
        pack = write_tiny_pack(Path(folder, "pack"), dimension=DIMENSION)
        with filled_folder(given.data_dir, pack, templates) as data_dir:
            starts = Starts(pack, data_dir, Path(folder, "empty"))
            sides = {
                "nothing enrolled": starts.empty,
                "from PostgreSQL": starts.from_postgres,
                "from a snapshot": starts.from_snapshot,
            }
            seconds = in_turns(sides, rounds, warm=0)
            [snapshot] = (data_dir / "snapshots").glob("*.snapshot")
            report.rows = [
                {
                    "start": side,
                    "ready s": round(statistics.median(figures), 2),
                    "least": round(min(figures), 2),
                    "greatest": round(max(figures), 2),
                    "first answer s": round(statistics.median(starts.first_answers[side]), 2),
                }
                for side, figures in seconds.items()
            ]
            report.rows += floors(templates * 4 * DIMENSION, snapshot)
    for side, aim in GOALS.items():
        worst = max(seconds[side])
        report.goal(f"{side}: seconds", aim=f"<= {aim:g}", figure=worst, met=worst <= aim)
    report.notes = [
        "A recognizer of 512 dimensions without training and the CenterFace detector: what a pack "
        "takes to load is in `nothing enrolled`.",
        "Seconds of one machine, not ratios: the floors beside them say what part is the machine's "
        "own. The goals are judged by the slowest round.",
    ]
    report.about = {"templates": templates, "dimension": DIMENSION, "rounds": rounds}
    report.save(given.out)


if __name__ == "__main__":
    main()
