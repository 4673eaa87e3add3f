"""How cost grows: latency and memory against gallery size, collections, faces, pixels and replicas.

    python -m benchmarks.growth [--pack starter] [--curves gallery,collections] [--quick]

Everything goes through real services, one client asking at a time, with the pack's own models. The
galleries hold random templates, written straight into PostgreSQL; the picture is the portrait that
comes with scikit-image, tiled for many faces and scaled for many pixels. `slope` is the exponent
with which latency grew since the point before: 0 is flat, 1 is straight, and a curve bends where it
changes.
"""

import asyncio
import contextlib
import io
import math
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Final

import httpx
import numpy as np
import psutil
from PIL import Image
from skimage import data as photos

from app import logs
from app.opening import open_database
from app.settings import Settings
from app.store import migrate
from app.store.embedded import EmbeddedPostgres
from app.types import Pixels
from app.vision.pack import find_pack, read_pack
from benchmarks.filling import fill
from benchmarks.local import Own, own_process
from benchmarks.report import FIGURES, Report, options

ASKS: Final = 30
"""Requests that a median is made of."""

Asked = tuple[float, float]
"""Median seconds of a request, and of its search."""


def portrait() -> Pixels:
    """The head of the astronaut: one face in 224 x 224 pixels."""
    head: Pixels = photos.astronaut()[:224, 112:336]
    return head


def tiled(faces: int) -> bytes:
    """So many portraits side by side, as JPEG."""
    across = math.ceil(math.sqrt(faces))
    down = math.ceil(faces / across)
    picture = np.full((224 * down, 224 * across, 3), 127, dtype=np.uint8)
    for number in range(faces):
        y, x = divmod(number, across)
        picture[224 * y : 224 * (y + 1), 224 * x : 224 * (x + 1)] = portrait()
    return jpeg(Image.fromarray(picture))


def scaled(megapixels: float) -> bytes:
    """The portrait with so many pixels, as JPEG."""
    side = round(math.sqrt(megapixels * 1e6))
    return jpeg(Image.fromarray(portrait()).resize((side, side), Image.Resampling.BICUBIC))


def jpeg(picture: Image.Image) -> bytes:
    body = io.BytesIO()
    picture.save(body, "JPEG", quality=90)
    return body.getvalue()


def asked(url: str, path: str, image: bytes, asks: int, **fields: str) -> Asked:
    """Ask so many times, one after another; the first few do not count."""
    totals, searches = [], []
    with httpx.Client(base_url=url, timeout=300, trust_env=False) as client:
        for number in range(asks + 3):
            begin = perf_counter()
            answer = client.post(path, files={"image": image}, data=fields)
            took = perf_counter() - begin
            answer.raise_for_status()
            if number >= 3:
                totals.append(took)
                found = re.search(r"\bsearch;dur=([0-9.]+)", answer.headers["server-timing"])
                searches.append(float(found[1]) / 1e3 if found else 0.0)
    return float(np.median(totals)), float(np.median(searches))


def megabytes(own: Own) -> float:
    """Resident memory of the service's process, without its decoders and PostgreSQL."""
    return psutil.Process(own.pid).memory_info().rss / 1e6


@contextlib.contextmanager
def service_with(pack: str, galleries: Sequence[tuple[str, int]]) -> Iterator[Own]:
    """A service that has collections of these names and sizes."""
    found = read_pack(find_pack(pack, Settings().packs_dir))

    async def prepare(folder: Path) -> None:
        async with open_database(Settings(data_dir=folder)) as database:
            await migrate.upgrade(database)
            for seed, (name, size) in enumerate(galleries):
                dimension = found.recognizer.dimension
                await fill(database, name, found.model, dimension, size, seed=seed)

    with tempfile.TemporaryDirectory(prefix="rollcall-bench-") as name:
        asyncio.run(prepare(Path(name, "data")))
        with own_process(pack, ROLLCALL_DATA_DIR=str(Path(name, "data"))) as own:
            yield own


class Curves:
    """Measures one curve after another into a report."""

    def __init__(self, report: Report, pack: str, *, quick: bool, sizes: Sequence[int]) -> None:
        self._report = report
        self._pack = pack
        self._quick = quick
        self._sizes = sizes
        self._asks = 10 if quick else ASKS

    def gallery(self) -> None:
        """Templates of one collection."""
        for size in self._sizes:
            with service_with(self._pack, [("people", size)]) as own:
                took = asked(own.url, "/identify", tiled(1), self._asks, collection="people")
                self._row("gallery", "templates", size, took, megabytes(own))

    def collections(self) -> None:
        """Collections of a thousand templates each, all searched together."""
        most = 30 if self._quick else 100
        names = [f"c-{number}" for number in range(most)]
        with service_with(self._pack, [(name, 1000) for name in names]) as own:
            for count in (1, 3, 10, 30, 100):
                if count <= most:
                    together = ",".join(names[:count])
                    took = asked(own.url, "/identify", tiled(1), self._asks, collections=together)
                    self._row("collections", "collections", count, took, megabytes(own))

    def faces(self) -> None:
        """Faces in a picture, all of them searched for."""
        with service_with(self._pack, [("people", 10_000)]) as own:
            for count in (1, 2, 4, 9, 16, 36):
                wish = {"collection": "people", "max_faces": "0"}
                took = asked(own.url, "/identify", tiled(count), self._asks, **wish)
                self._row("faces", "faces", count, took, megabytes(own))

    def pixels(self) -> None:
        """Megapixels of a picture that shows one face."""
        with service_with(self._pack, [("people", 10_000)]) as own:
            for count in (
                (0.05, 0.25, 1.0, 4.0, 12.0) if self._quick else (0.05, 0.25, 1, 4, 12, 48)
            ):
                took = asked(own.url, "/identify", scaled(count), self._asks, collection="people")
                self._row("pixels", "megapixels", count, took, megabytes(own))

    def replicas(self) -> None:
        """Services on one database: an enrolment at one of them, until another has it too."""
        with tempfile.TemporaryDirectory(prefix="rollcall-bench-") as name:
            server = EmbeddedPostgres(Path(name, "postgres"))
            runner = asyncio.Runner()
            url = runner.run(server.start())
            try:
                for count in (1, 2, 4):
                    self._replicas(count, url)
            finally:
                runner.run(server.stop())
                runner.close()

    def _replicas(self, count: int, database: str) -> None:
        given = {"ROLLCALL_DATABASE_URL": database, "ROLLCALL_SECRET": self._secret}
        with contextlib.ExitStack() as stack:
            owns = [stack.enter_context(own_process(self._pack, **given)) for _ in range(count)]
            enrolled, seen = [], []
            clients = [
                stack.enter_context(httpx.Client(base_url=own.url, timeout=300, trust_env=False))
                for own in owns
            ]
            image = tiled(1)
            for _ in range(self._asks):
                begin = perf_counter()
                answer = clients[0].post(
                    "/enroll", files={"images": image}, data={"on_duplicate": "allow"}
                )
                enrolled.append(perf_counter() - begin)
                revision = str(answer.raise_for_status().json()["revision"])
                begin = perf_counter()
                clients[-1].post(
                    "/identify", files={"image": image}, data={"min_revision": revision}
                ).raise_for_status()
                seen.append(perf_counter() - begin)
            both = float(np.median(enrolled)), float(np.median(seen))
            self._row("replicas", "replicas", count, both, sum(megabytes(own) for own in owns))

    _secret = secrets.token_hex(32)

    def _row(self, curve: str, unit: str, count: float, took: Asked, memory: float) -> None:
        before = [row for row in self._report.rows if row["curve"] == curve]
        step = None
        if before:
            last = before[-1]
            grown = math.log(took[0] * 1e3 / last["p50 ms"])
            step = grown / math.log(count / last["count"])
        self._report.rows.append(
            {
                "curve": curve,
                "unit": unit,
                "count": count,
                "p50 ms": took[0] * 1e3,
                "search ms": took[1] * 1e3,
                "MB": memory,
                "slope": step,
            }
        )


def main() -> None:
    names = ("gallery", "collections", "faces", "pixels", "replicas")
    root = options(__doc__ or "")
    root.add_argument("--pack", default="starter")
    root.add_argument("--sizes", default="1000,10000,100000", help="templates, with commas")
    root.add_argument("--curves", default=",".join(names), help=f"of {', '.join(names)}")
    given = root.parse_args()
    logs.configure("error")
    report = Report("growth", "How do latency and memory grow, and where do the curves bend?")
    sizes = [int(each) for each in given.sizes.split(",")]
    curves = Curves(report, given.pack, quick=given.quick, sizes=sizes)
    for name in given.curves.split(","):
        measure: Callable[[], None] = getattr(curves, name)
        measure()
    report.notes.append(
        f"One client, {10 if given.quick else ASKS} requests a point, pack {given.pack}. `search "
        "ms` is the search of one request; of replicas, an identification at the last of them "
        "that waits for the enrolment made at the first. `MB` of replicas is that of all."
    )
    report.plot(given.out or FIGURES / "growth", x="count", y="p50 ms", by="curve")
    report.save(given.out)


if __name__ == "__main__":
    main()
