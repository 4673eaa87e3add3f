"""Exact search by person: the candidates of float64 brute force, at the speed of float32 kernels.

The kernel gives the best rows of each block, `ranking` makes exact candidates of them. An answer
depends neither on the kernel nor on what shared its batch.
"""

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from uuid import UUID

import numpy as np

from app.batching import MicroBatcher
from app.gallery.blocks import Index, View, checked
from app.gallery.index import State
from app.gallery.kernels import CpuKernel, Kernel
from app.gallery.ranking import Found, best
from app.stages import current
from app.types import Candidate, Floats

SPREAD = 4_000_000
"""Numbers in a part of a gallery below which another thread costs more than it saves."""


def search(
    state: State,
    queries: Floats,
    top: int,
    floor: float = -1.0,
    *,
    kernel: Kernel | None = None,
    pool: Executor | None = None,
    threads: int = 1,
) -> list[list[Candidate]]:
    """The `top` most similar persons of each query float32[Q, D], best first.

    A person is offered once, with the most similar template. Similarities are float64 dot
    products of the float32 rows; equal ones go by person id. Only candidates of at least `floor`
    are given. With a `pool`, a large gallery is spread over `threads`, the caller's among them.
    Raises ValueError for queries of another dimension, not finite, or not of length one.
    """
    queries = checked(queries, state.dimension)
    if top < 1:
        raise ValueError("a search asks for one candidate at least")
    if not len(queries) or not state.size:
        return [[] for _ in queries]
    kernel = kernel or CpuKernel()
    views = [view for view in state.views if view.size]
    parts = _parts(views, threads if pool else 1)
    # Some more than asked for, since the best rows are often of one person.
    count = 2 * top + 8
    others = [pool.submit(_scan, part, queries, count, kernel) for part in parts[1:] if pool]
    scans = [_scan(parts[0], queries, count, kernel), *(other.result() for other in others)]
    found = Found(
        views=views,
        scores=np.concatenate([scan.scores for scan in scans], axis=1),
        rows=np.concatenate([scan.rows for scan in scans], axis=1),
        hidden=np.concatenate([scan.hidden for scan in scans], axis=1),
        owner=np.repeat(np.arange(len(views)), [w for scan in scans for w in scan.widths]),
    )
    return [
        [
            Candidate(UUID(bytes=person), UUID(bytes=face), similarity)
            for similarity, person, face in hits
        ]
        for hits in best(found, queries, top, _least(floor))
    ]


@dataclass(frozen=True, slots=True)
class _Scan:
    """Of some views: columns of scores float32[Q, W] (-inf if dead) and rows int64[Q, W], how
    many of them each view has, and float32[Q, V]: what no row that a view kept back exceeds."""

    scores: Floats
    rows: Index
    widths: list[int]
    hidden: Floats


def _parts(views: list[View], threads: int) -> list[list[View]]:
    """Cut `views` into at most `threads` runs with about as many numbers in each."""
    dimension = views[0].block.dimension
    total = sum(view.used for view in views)
    wanted = max(1, min(threads, total * dimension // SPREAD, len(views)))
    parts: list[list[View]] = [[] for _ in range(wanted)]
    before = 0
    for view in views:
        parts[min(wanted - 1, (before + view.used // 2) * wanted // total)].append(view)
        before += view.used
    return [part for part in parts if part]


def _scan(views: list[View], queries: Floats, count: int, kernel: Kernel) -> _Scan:
    scores, rows, widths = [], [], []
    hidden = np.full((len(queries), len(views)), -np.inf, dtype=np.float32)
    for number, view in enumerate(views):
        width = min(view.used, count + len(view.dead), kernel.most)
        highest, where = kernel.best(view.block, view.used, queries, width)
        if width < view.used:
            hidden[:, number] = highest[:, -1]
        if len(view.dead):
            highest[np.isin(where, view.dead)] = -np.inf
        scores.append(highest)
        rows.append(where)
        widths.append(width)
    return _Scan(np.concatenate(scores, axis=1), np.concatenate(rows, axis=1), widths, hidden)


@dataclass(frozen=True, slots=True, eq=False)
class _Ask:
    state: State
    queries: Floats
    top: int
    floor: float


_Answer = tuple[list[list[Candidate]], float]
"""Candidates for each query, and the seconds that the search of its batch took."""


class Searcher:
    """Searches for many callers: those that wait for the same state share one pass over its rows.

    threads: how many search one gallery together. The others: as in MicroBatcher.
    """

    def __init__(
        self,
        kernel: Kernel | None = None,
        *,
        threads: int = 1,
        limit: int = 64,
        depth: int = 1024,
        patience: float = 1.5,
        deadline: float = 30.0,
    ) -> None:
        self._kernel = kernel or CpuKernel()
        self._threads = threads
        # Two pools: a search waits for its parts, and must not take the place they need.
        self._first = ThreadPoolExecutor(1, thread_name_prefix="search")
        self._others = ThreadPoolExecutor(max(1, threads - 1), thread_name_prefix="search-part")
        self.batcher: MicroBatcher[_Ask, _Answer] = MicroBatcher(
            "search",
            self._run,
            executor=self._first,
            workers=1,
            limit=limit,
            depth=depth,
            patience=patience,
            deadline=deadline,
        )

    @property
    def waiting(self) -> int:
        return self.batcher.waiting

    async def search(
        self, state: State, queries: Floats, top: int, floor: float = -1.0
    ) -> list[list[Candidate]]:
        """As `search`; raises what it raises, and Overloaded like MicroBatcher.submit."""
        ask = _Ask(state, checked(queries, state.dimension), top, floor)
        if top < 1:
            raise ValueError("a search asks for one candidate at least")
        answer, seconds = await self.batcher.submit(ask)
        current().add("search", seconds)
        return answer

    async def close(self) -> None:
        """Fail what waits, finish what runs, end the threads."""
        await self.batcher.close()
        self._first.shutdown()
        self._others.shutdown()

    def _run(self, asks: Sequence[_Ask]) -> list[_Answer | Exception]:
        groups: dict[int, list[int]] = {}
        for number, ask in enumerate(asks):
            groups.setdefault(id(ask.state), []).append(number)
        answers: dict[int, _Answer | Exception] = {}
        for numbers in groups.values():
            try:
                answers.update(
                    zip(numbers, self._together([asks[n] for n in numbers]), strict=True)
                )
            except Exception as error:  # of this state; the other groups have their own
                answers.update(dict.fromkeys(numbers, error))
        return [answers[number] for number in range(len(asks))]

    def _together(self, asks: Sequence[_Ask]) -> list[_Answer]:
        """One pass for all; the best of a longer list are the list of a shorter one."""
        begin = perf_counter()
        found = iter(
            search(
                asks[0].state,
                np.concatenate([ask.queries for ask in asks]),
                max(ask.top for ask in asks),
                min(ask.floor for ask in asks),
                kernel=self._kernel,
                pool=self._others,
                threads=self._threads,
            )
        )
        lists = [
            [_cut(next(found), ask.top, ask.floor) for _ in range(len(ask.queries))] for ask in asks
        ]
        seconds = perf_counter() - begin
        return [(answer, seconds) for answer in lists]


def _cut(candidates: list[Candidate], top: int, floor: float) -> list[Candidate]:
    least = _least(floor)
    return [candidate for candidate in candidates[:top] if candidate.similarity >= least]


def _least(floor: float) -> float:
    """A floor of -1 lets everything pass: of opposite float32 rows the dot product may be less."""
    return floor if floor > -1 else -np.inf
