"""Mixed load: searches of a large gallery while persons are enrolled and deleted.

    python -m benchmarks.mixed [--templates 1000000] [--rate 100] [--quick]

One client searches, one query after another, with all cores, as the service does. In turns nothing
else happens, or a writer applies so many changes a second, each a whole change with a state of its
own: a person enrolled, or somebody deleted, anywhere in the gallery. What counts is the p99 of the
searches of a turn against that of the quiet turn beside it.

This is the gallery alone: what PostgreSQL, the follower and the embedding of faces take of the
cores is in `benchmarks.service`.
"""

import argparse
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import perf_counter, sleep
from typing import Any, Final

import numpy as np

from app.gallery.index import Change, Gallery
from app.gallery.kernels import CpuKernel
from app.gallery.search import search
from app.types import Rows
from benchmarks.report import Report, in_turns, options, ratio
from benchmarks.search import DIMENSION, loaded_gallery, made_up, unit_vectors

QUIET: Final = "searches alone"
ENROLLING: Final = "while enrolling"
DELETING: Final = "while deleting"

FEWEST: Final = 100
"""Searches in a turn, so that it has a p99."""

Turns = list[list[float]]
Taken = dict[str, Turns]

NOBODY: Final = np.empty((0, 16), dtype=np.uint8)


class Writer:
    """Applies changes to a gallery at a rate; remembers how long each took."""

    def __init__(self, gallery: Gallery, rate: float) -> None:
        self._gallery = gallery
        self._rate = rate
        self._random = np.random.default_rng(2)
        faces = [rows.faces for rows in gallery.state.rows()]
        self._faces = self._random.permutation(np.concatenate(faces))
        self.seconds: list[float] = []

    def enrol(self) -> None:
        ids = self._random.integers(0, 256, (2, 1, 16), np.uint8)
        self._apply(Rows(ids[0], ids[1], unit_vectors(self._random, 1)), NOBODY)

    def delete(self) -> None:
        gone, self._faces = self._faces[:1], self._faces[1:]
        nothing = Rows(NOBODY, NOBODY, np.empty((0, DIMENSION), np.float32))
        self._apply(nothing, gone)

    def _apply(self, added: Rows, removed: Any) -> None:
        revision = self._gallery.state.position.revision + 1
        begin = perf_counter()
        self._gallery.apply(Change(revision, b"", added, removed))
        self.seconds.append(perf_counter() - begin)

    @contextmanager
    def at_work(self, change: Callable[[], None]) -> Iterator[None]:
        """Makes changes while the block runs, each when it is due or as soon as it can."""
        stop = threading.Event()

        def work() -> None:
            due = perf_counter()
            while not stop.is_set():
                change()
                due += 1 / self._rate
                sleep(max(0.0, due - perf_counter()))

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


class Client:
    """Searches one after another, with all cores."""

    def __init__(self, gallery: Gallery, threads: int) -> None:
        self._gallery = gallery
        self._threads = threads
        self._pool = ThreadPoolExecutor(max(1, threads - 1))
        self._kernel = CpuKernel()
        self._probes = unit_vectors(np.random.default_rng(3), 64)

    def searches(self, seconds: float, least: int) -> list[float]:
        """Seconds of each search, for so long and so many."""
        taken: list[float] = []
        begin = perf_counter()
        while perf_counter() < begin + seconds or len(taken) < least:
            number = len(taken) % len(self._probes)
            asked = perf_counter()
            search(
                self._gallery.state,
                self._probes[number : number + 1],
                5,
                kernel=self._kernel,
                pool=self._pool,
                threads=self._threads,
            )
            taken.append(perf_counter() - asked)
        return taken

    def close(self) -> None:
        self._pool.shutdown()


def in_gallery(given: argparse.Namespace, seconds: float) -> tuple[Taken, Taken]:
    """Seconds of searches, and of changes, by side and turn."""
    gallery = loaded_gallery(made_up(given.templates))
    writer = Writer(gallery, given.rate)
    client = Client(gallery, len(os.sched_getaffinity(0)))
    searches: Taken = {QUIET: [], ENROLLING: [], DELETING: []}
    changes: Taken = {ENROLLING: [], DELETING: []}

    def quiet() -> float:
        searches[QUIET].append(client.searches(seconds, FEWEST))
        return p99(searches[QUIET][-1])

    def busy(side: str, change: Callable[[], None]) -> float:
        writer.seconds = []
        with writer.at_work(change):
            searches[side].append(client.searches(seconds, FEWEST))
        changes[side].append(writer.seconds)
        return p99(searches[side][-1])

    in_turns(
        {
            QUIET: quiet,
            ENROLLING: lambda: busy(ENROLLING, writer.enrol),
            DELETING: lambda: busy(DELETING, writer.delete),
        },
        given.rounds,
        warm=0,
    )
    client.close()
    return searches, changes


def p99(seconds: Sequence[float]) -> float:
    return float(np.quantile(seconds, 0.99))


def summary(side: str, searches: Turns, changes: Turns | None) -> dict[str, Any]:
    """A row of the table. Changes a second are counted over the time that searches took."""
    every = np.concatenate([np.asarray(turn) for turn in searches]) * 1e3
    row = {
        "side": side,
        "searches": len(every),
        "search p50 ms": float(np.median(every)),
        "search p99 ms": float(np.median([p99(turn) for turn in searches])) * 1e3,
        "search most ms": float(every.max()),
        "changes/s": None,
        "change p50 ms": None,
        "change p99 ms": None,
        "change most ms": None,
    }
    if changes is not None:
        took = np.concatenate([np.asarray(turn) for turn in changes]) * 1e3
        row |= {
            "changes/s": len(took) / sum(sum(turn) for turn in searches),
            "change p50 ms": float(np.median(took)),
            "change p99 ms": p99(took),
            "change most ms": float(took.max()),
        }
    return row


def main() -> None:
    root = options(__doc__ or "")
    root.add_argument("--templates", type=int, default=1_000_000)
    root.add_argument("--rate", type=float, default=100.0, help="changes a second (default: 100)")
    root.add_argument("--rounds", type=int, default=5, help="turns of each side (default: 5)")
    given = root.parse_args()
    if given.quick:
        given.templates, given.rounds = min(given.templates, 50_000), 2
    report = Report(
        "mixed",
        f"Do searches among {given.templates:,} templates stall while {given.rate:g} changes a "
        "second are applied?",
    )
    searches, changes = in_gallery(given, 1.0 if given.quick else 8.0)
    for side, turns in searches.items():
        report.rows.append(summary(side, turns, changes.get(side)))
    for side in (ENROLLING, DELETING):
        figure = ratio(
            [p99(turn) for turn in searches[side]], [p99(turn) for turn in searches[QUIET]]
        )
        report.goal(
            f"p99 of searches {side} against alone",
            aim="<= 1.5",
            figure=figure,
            met=figure.median <= 1.5,
        )
    report.notes.append(f"Random unit vectors of {DIMENSION}; one query at a time, all cores.")
    report.save(given.out)


if __name__ == "__main__":
    main()
