"""Exact search: galleries of several sizes, beside the machine's limits and beside others.

    python -m benchmarks.search [--sizes 10000,100000,1000000] [--embeddings FILE] [--quick]

Sides run in turns in one process: Rollcall's own search, and each rival that is installed. Beside
them, in the same turns, what the machine can do at most: reading the rows once with all cores, and
multiplying them with the queries by the BLAS of NumPy. Answers are judged by float64 brute force.

Vectors: real embeddings where FILE has them (`embeddings`: float32[N, D] of an .npz, of which the
last ones are the probes); beyond its size, and without FILE, random unit vectors of 512 numbers,
each probe at cosine 0.6 from one of them.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.gallery import compiled
from app.gallery.index import Gallery, State
from app.gallery.kernels import CpuKernel
from app.gallery.search import search
from app.gallery.storage import FLOAT32, Format, Storage
from app.settings import Settings
from app.types import Floats, Position
from app.types import Rows as Templates
from benchmarks.bandwidth import read_all
from benchmarks.report import FIGURES, Ratio, Report, in_turns, options, ratio
from benchmarks.rivals import RIVALS, TOP, Rows, Side, installed

DIMENSION: Final = 512
MATE: Final = 0.6
"""The cosine of a made-up probe and its mate."""

TIE: Final = 1e-6
"""Similarities that are no further apart are in either order."""

OURS: Final = "Rollcall, exact"
TWO_STAGE: Final = "Rollcall, two-stage"
FORMATS: Final[tuple[Format, ...]] = ("float16", "int8")
SHORTLIST: Final = Settings.model_fields["search_shortlist"].default
READ: Final = "(limit: read the rows)"
MULTIPLY: Final = "(limit: SGEMM)"
CHUNK: Final = 50_000


class Ours:
    """Rollcall's search of a whole gallery, with all cores; `shortlist` as in CpuKernel."""

    def __init__(self, state: State, shortlist: int = 0) -> None:
        self._state = state
        self._threads = len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(max(1, self._threads - 1))
        self._kernel = CpuKernel(shortlist)

    def search(self, queries: Floats) -> Rows:
        found = search(
            self._state,
            queries,
            TOP,
            kernel=self._kernel,
            pool=self._pool,
            threads=self._threads,
        )
        rows = np.full((len(queries), TOP), -1, dtype=np.int64)
        for number, candidates in enumerate(found):
            rows[number, : len(candidates)] = [each.face_id.int for each in candidates]
        return rows

    def close(self) -> None:
        self._pool.shutdown()


def loaded(chunks: Iterable[Floats], storage: Storage = FLOAT32) -> State:
    return loaded_gallery(chunks, storage).state


def loaded_gallery(chunks: Iterable[Floats], storage: Storage = FLOAT32) -> Gallery:
    """A gallery in which each row is a person of one face, whose id is the number of the row."""

    def templates() -> Iterator[Templates]:
        begin = 0
        for chunk in chunks:
            ids = np.zeros((len(chunk), 2), dtype=">u8")
            ids[:, 1] = np.arange(begin, begin + len(chunk))
            names = ids.view(np.uint8).reshape(-1, 16)
            yield Templates(names, names, chunk)
            begin += len(chunk)

    return Gallery.load(DIMENSION, Position(0, b""), templates(), storage=storage)


class Limits:
    """What the machine can do with a gallery's rows at most."""

    def __init__(self, rows: "Parts") -> None:
        self._rows = rows
        self._threads = len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(self._threads)

    def read(self) -> None:
        read_all(self._rows.parts, self._pool, self._threads)

    def multiply(self, queries: Floats) -> None:
        """Queries by rows, block by block: faster than at once, which writes a large product."""
        for part in self._rows.parts:
            queries @ part.T

    def close(self) -> None:
        self._pool.shutdown()


class Parts:
    """The rows of a gallery where they lie, in the order in which they came."""

    def __init__(self, state: State) -> None:
        self.parts = [rows.vectors for rows in state.rows()]
        self._ends = np.cumsum([len(part) for part in self.parts])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def take(self, numbers: NDArray[np.int64]) -> Floats:
        """float32[len(numbers), D]"""
        of = np.searchsorted(self._ends, numbers, side="right")
        return np.stack(
            [
                self.parts[part][number - self._ends[part]]
                for part, number in zip(of, numbers, strict=True)
            ]
        )

    def true_similarities(self, queries: Floats) -> NDArray[np.float64]:
        """The TOP highest of each query by float64, highest first: float64[Q, TOP]."""
        best = np.full((len(queries), TOP), -np.inf)
        wide = queries.astype(np.float64)
        for part in self.parts:
            both = np.concatenate((best, wide @ part.astype(np.float64).T), axis=1)
            best = -np.partition(-both, TOP - 1, axis=1)[:, :TOP]
        return -np.sort(-best, axis=1)


def recall(scores: NDArray[np.float64], truth: NDArray[np.float64], rank: int) -> float:
    """Share of the `rank` best that were given among the first `rank`; within TIE is as good.

    scores: true similarities of what was given, in its order, float64[Q, R], -inf where nothing
    was, each row once. truth: the highest there are, float64[Q, R].
    """
    good = scores[:, :rank] >= truth[:, rank - 1 : rank] - TIE
    return float(np.mean(good))


def true_scores(rows: Rows, parts: Parts, queries: Floats) -> NDArray[np.float64]:
    """Similarities by float64 of the rows that were given, float64[Q, R]; -inf for -1."""
    scores = np.full(rows.shape, -np.inf)
    for given, query, into in zip(rows, queries, scores, strict=True):
        there = given >= 0
        if there.any():
            into[there] = parts.take(given[there]).astype(np.float64) @ query.astype(np.float64)
    return scores


def unit_vectors(random: np.random.Generator, count: int) -> Floats:
    """Evenly spread over the sphere: float32[N, 512]."""
    vectors = random.standard_normal((count, DIMENSION), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def made_up(count: int) -> Iterator[Floats]:
    random = np.random.default_rng(0)
    for begin in range(0, count, CHUNK):
        yield unit_vectors(random, min(CHUNK, count - begin))


def made_up_probes(parts: Parts, count: int) -> Floats:
    """Each at cosine MATE from a row of its own."""
    random = np.random.default_rng(1)
    mates = parts.take(random.choice(len(parts), count, replace=False))
    noise = unit_vectors(random, count)
    noise -= np.sum(noise * mates, axis=1, keepdims=True) * mates
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    return np.float32(MATE) * mates + np.float32(np.sqrt(1 - MATE**2)) * noise


def measured(
    sides: dict[str, Side], limits: Limits, queries: Floats, seconds: float
) -> dict[str, list[list[float]]]:
    """Seconds of every call, by side and turn; a turn of a side is some calls in a row."""
    calls: dict[str, Callable[[], object]] = {
        name: (lambda side=side: side.search(queries)) for name, side in sides.items()
    }
    calls |= {READ: limits.read, MULTIPLY: lambda: limits.multiply(queries)}
    once = {name: min(_timed(call), _timed(call)) for name, call in calls.items()}
    turns = 5
    repeats = {
        name: int(np.clip(seconds / turns / len(calls) / took, 1, 200))
        for name, took in once.items()
    }
    taken: dict[str, list[list[float]]] = {name: [] for name in calls}

    def turn(name: str) -> float:
        taken[name].append([_timed(calls[name]) for _ in range(repeats[name])])
        return float(np.median(taken[name][-1]))

    in_turns({name: (lambda name=name: turn(name)) for name in calls}, turns, warm=0)
    return taken


def _timed(call: Callable[[], object]) -> float:
    begin = perf_counter()
    call()
    return perf_counter() - begin


def row(
    size: int, batch: int, name: str, turns: Sequence[Sequence[float]], **more: float | None
) -> dict[str, Any]:
    every = [seconds * 1e3 for turn in turns for seconds in turn]
    return {
        "templates": size,
        "batch": batch,
        "side": name,
        "p50 ms": float(np.median(every)),
        "p99 ms": float(np.quantile(every, 0.99)) if len(every) >= 100 else None,
        "most ms": max(every),
        "calls": len(every),
        "queries/s": batch / float(np.median(every)) * 1e3,
        **more,
    }


@dataclass(frozen=True, slots=True)
class Size:
    """One gallery, the probes, and how much is measured of it."""

    state: State
    probes: Floats
    batches: Sequence[int]
    rivals: bool
    graphs: bool
    seconds: float
    scratch: str


def compare(report: Report, size: Size) -> None:
    parts = Parts(size.state)
    sides = {**_ours(report, size, parts), **_rivals(report, size, parts)}
    limits = Limits(parts)
    judged = size.probes[: max(size.batches)]
    truth = parts.true_similarities(judged)
    for batch in size.batches:
        taken = measured(sides, limits, size.probes[:batch], size.seconds)
        for name, turns in taken.items():
            more: dict[str, float | None] = {"recall@1": None, f"recall@{TOP}": None}
            if name in sides:
                scores = true_scores(sides[name].search(judged), parts, judged)
                more = {f"recall@{rank}": recall(scores, truth, rank) for rank in (1, TOP)}
            report.rows.append(row(len(parts), batch, name, turns, **more))
        _goals(report, len(parts), batch, taken)
    for each in (*sides.values(), limits):
        each.close()


def _ours(report: Report, size: Size, parts: Parts) -> dict[str, Side]:
    """The exact search, and what settings make of it."""
    sides: dict[str, Side] = {OURS: Ours(size.state)}
    if not compiled.built():
        report.notes.append(f"{len(parts):,}: without the compiled kernels of Rollcall.")
        return sides
    sides[TWO_STAGE] = Ours(size.state, SHORTLIST)
    if size.rivals:
        for form in FORMATS:
            sides[f"Rollcall, exact, {form}"] = Ours(
                loaded(parts.parts, Storage(form, Path(size.scratch)))
            )
    return sides


def _rivals(report: Report, size: Size, parts: Parts) -> dict[str, Side]:
    wanted = [rival for rival in RIVALS if size.rivals and (rival.quick or size.graphs)]
    left_out = [rival.name for rival in RIVALS if rival not in wanted]
    if left_out:
        report.notes.append(f"{len(parts):,}: not run: {', '.join(left_out)}.")
    sides: dict[str, Side] = {}
    vectors = np.concatenate(parts.parts) if wanted else np.empty((0, DIMENSION), np.float32)
    for rival in wanted:
        module = installed(rival)
        if module is None:
            report.notes.append(f"{len(parts):,}: {rival.name} is not installed.")
            continue
        begin = perf_counter()
        sides[rival.name] = rival.make(module, vectors)
        took = perf_counter() - begin
        report.about.setdefault("seconds to make", {})[f"{rival.name}, {len(parts)}"] = took
    return sides


def _goals(report: Report, size: int, batch: int, taken: dict[str, list[list[float]]]) -> None:
    if size < 1_000_000:
        return

    def against(name: str, ours: str = OURS) -> Ratio:
        above, below = ([float(np.median(turn)) for turn in taken[side]] for side in (name, ours))
        return ratio(above, below)

    if batch == 1:
        share = against(READ)
        report.goal(
            f"one query among {size:,}: share of the bandwidth of all cores",
            aim=">= 0.8",
            figure=share,
            met=share.median >= 0.8,
        )
        if TWO_STAGE in taken:
            faster = against(OURS, TWO_STAGE)
            report.goal(
                f"one query among {size:,}: two-stage, times exact",
                aim=">= 8",
                figure=faster,
                met=faster.median >= 8,
            )
    elif batch >= 64 and "faiss IndexFlatIP" in taken:
        faster = against("faiss IndexFlatIP")
        report.goal(
            f"{batch} queries among {size:,}: times IndexFlatIP as it comes",
            aim=">= 8",
            figure=faster,
            met=faster.median >= 8,
        )
        share = against(MULTIPLY)
        report.goal(
            f"{batch} queries among {size:,}: share of the rate of SGEMM",
            aim=">= 0.7",
            figure=share,
            met=share.median >= 0.7,
        )


def main() -> None:
    root = options(__doc__ or "")
    root.add_argument("--sizes", help="templates, with commas (default: 10000,100000,1000000)")
    root.add_argument("--batches", default="1,8,64", help="queries at a time, with commas")
    root.add_argument("--embeddings", type=Path, help=".npz with `embeddings`: real ones")
    root.add_argument(
        "--rivals", type=int, default=1_000_000, help="up to this size (default: 1000000)"
    )
    root.add_argument(
        "--graphs",
        type=int,
        default=100_000,
        help="rivals that take long to make, up to this size (default: 100000)",
    )
    root.add_argument(
        "--seconds", type=float, default=20.0, help="for each size and batch (default: 20)"
    )
    given = root.parse_args()
    if given.quick:
        given.seconds = min(given.seconds, 2.0)
    sizes = given.sizes or ("10000,20000" if given.quick else "10000,100000,1000000")
    batches = [int(each) for each in given.batches.split(",")]
    storage = Storage(codes=compiled.built())
    real = None if given.embeddings is None else np.load(given.embeddings)["embeddings"]
    report = Report("search", "How fast is exact search, and how near to what the machine can do?")
    for size in (int(each) for each in sizes.split(",")):
        if real is not None and size + max(batches) <= len(real):
            state, probes = loaded([real[:size]], storage), real[-max(batches) :]
            report.notes.append(f"{size:,}: real embeddings, {given.embeddings.name}.")
        else:
            state = loaded(made_up(size), storage)
            probes = made_up_probes(Parts(state), max(batches))
            report.notes.append(
                f"{size:,}: random unit vectors of {DIMENSION}, probes at cosine {MATE} of a mate."
            )
        with tempfile.TemporaryDirectory(prefix="rollcall-bench-") as scratch:
            rivals, graphs = size <= given.rivals, size <= given.graphs
            compare(report, Size(state, probes, batches, rivals, graphs, given.seconds, scratch))
    single = [row for row in report.rows if row["batch"] == min(batches)]
    path = given.out or FIGURES / "search"
    Report("search", report.question, single).plot(path, x="templates", y="p50 ms", by="side")
    report.save(given.out)


if __name__ == "__main__":
    main()
