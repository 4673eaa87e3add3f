"""Exact search by person: the candidates of float64 brute force, at the speed of float32 kernels.

The kernel gives the best rows of each block, `ranking` makes exact candidates of them. An answer
depends neither on the kernel nor on what shared its pass over the rows.
"""

from collections.abc import Collection, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter
from typing import Final, Protocol
from uuid import UUID

import numpy as np

from app.batching import MicroBatcher, in_thread
from app.gallery.blocks import Block, Index, View, checked
from app.gallery.index import State
from app.gallery.kernels import CpuKernel, Kernel
from app.gallery.ranking import Found, Hit, best, merged
from app.gallery.selection import Few, Selection, everything
from app.gallery.shortlist import Likely, choose, likely, look_again
from app.stages import current
from app.types import Candidate, Floats

SPREAD = 4_000_000
"""Numbers to read for each thread below which another one costs more than it saves."""

_LIGHTER: Final = 4
"""How many times as fast short codes are looked through as rows are, at least."""

_PIECE: Final = 2048
"""Rows that are copied out at a time."""

_PATIENCE: Final = 7
"""Of a view with dead rows a kernel is asked for at most so many times more rows than are needed.
Where they were not enough, which their scores tell, the view is looked through."""


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """For each of `queries` the `top` most similar persons of at least `floor`, in all
    `selections` together. Made by `asking`."""

    selections: Sequence[Selection]
    queries: Floats
    top: int
    floor: float


def asking(selections: Sequence[Selection], queries: Floats, top: int, floor: float = -1.0) -> Ask:
    """Raises ValueError for queries of another dimension, not finite, or not of length one."""
    for dimension in {selection.state.dimension for selection in selections}:
        queries = checked(queries, dimension)
    if top < 1:
        raise ValueError("a search asks for one candidate at least")
    return Ask(selections, queries, top, floor)


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
    ask = asking([everything(state)], queries, top, floor)
    return search_all([ask], kernel or CpuKernel(), pool=pool, threads=threads)[0]


def search_all(
    asks: Sequence[Ask], kernel: Kernel, *, pool: Executor | None = None, threads: int = 1
) -> list[list[list[Candidate]]]:
    """For every ask the candidates of its queries, as `search` would find them.

    One pass serves all: a block that several need is read once, whatever states they look at and
    whomever they look for. A person is taken to be in one of the states only.
    """
    aims: dict[tuple[int, int], _Aim] = {}
    seats: list[list[_Seat]] = []
    for ask in asks:
        seats.append([])
        for source, selection in enumerate(ask.selections):
            if selection.size and len(ask.queries):
                key = id(selection.views), id(selection.few)
                aim = aims.setdefault(key, _Aim(selection))
                seats[-1].append(_Seat(source, aim, aim.take(ask)))
    _read(_portions(aims.values(), kernel, threads), kernel, pool, threads)
    for aim in aims.values():
        aim.rank(kernel)
    return [
        [_best_of(at, number, ask) for number in range(len(ask.queries))]
        for ask, at in zip(asks, seats, strict=True)
    ]


class _Aim:
    """One selection, all queries that look at it, and what was found for them."""

    def __init__(self, selection: Selection) -> None:
        self.views = [view for view in selection.views if view.size]
        self.few = selection.few
        self.top = 1
        self.queries: Floats = np.empty((0, selection.state.dimension), dtype=np.float32)
        self.hits: list[list[Hit]] = []
        self._floor = 1.0
        self._scans: list[_Scan] = []
        self._lists: list[Likely] = []

    def take(self, ask: Ask) -> int:
        """Look for `ask` too; the number of its first query here.

        The best of a longer list are the list of a shorter one.
        """
        begin = len(self.queries)
        self.queries = np.concatenate((self.queries, ask.queries))
        self.top = max(self.top, ask.top)
        self._floor = min(self._floor, ask.floor)
        return begin

    def width(self, view: View, most: int) -> int:
        """Rows to ask a kernel for. Some more than persons are wanted, since the best are often
        of one person."""
        count = 2 * self.top + 8
        return min(view.used, count + min(len(view.dead), _PATIENCE * count), most)

    def found(self, scan: "_Scan") -> None:
        self._scans.append(scan)

    def listed(self, likely: Likely) -> None:
        self._lists.append(likely)

    def rank(self, kernel: Kernel) -> None:
        """Make `hits` of the scans and the lists."""
        floor = _least(self._floor)
        self.hits = self._ranked(self._scans, self.queries) if self._scans else []
        if not self._lists:
            return
        chosen = choose(self._lists)
        found = look_again(self.views, chosen, self.queries, self.top, floor)
        for number, (hits, each) in enumerate(zip(found, chosen, strict=True)):
            # One person may have more templates than a list has places.
            enough = len(hits) == self.top or each.all_rows
            if enough or each.has_persons(self.views, self.top):
                continue
            query = self.queries[number, None]
            found[number] = self._ranked(self._read_all(kernel, query), query)[0]
        self.hits = merged(self.hits, found, self.top) if self.hits else found

    def _read_all(self, kernel: Kernel, query: Floats) -> list["_Scan"]:
        """Every view for one query, whose list has too few persons."""
        return [
            _scan(view, *kernel.best(view.block, view.used, query, self.width(view, kernel.most)))
            for view in self.views
        ]

    def _ranked(self, scans: Sequence["_Scan"], queries: Floats) -> list[list[Hit]]:
        found = Found(
            views=[scan.view for scan in scans],
            scores=np.concatenate([scan.scores for scan in scans], axis=1),
            rows=np.concatenate([scan.rows for scan in scans], axis=1),
            hidden=np.stack([scan.hidden for scan in scans], axis=1),
            owner=np.repeat(np.arange(len(scans)), [scan.rows.shape[1] for scan in scans]),
        )
        return best(found, queries, self.top, _least(self._floor))


@dataclass(frozen=True, slots=True)
class _Scan:
    """Of one view: scores float32[Q, W] (-inf if dead), rows int64[Q, W], and float32[Q]: what no
    row that was kept back exceeds."""

    view: View
    scores: Floats
    rows: Index
    hidden: Floats


class _Portion(Protocol):
    """What one thread reads at a time; `numbers` tells how much that is."""

    numbers: int

    def read(self, kernel: Kernel) -> None: ...


class _Whole:
    """A block, or its first rows, for all who need just that."""

    def __init__(self, view: View) -> None:
        self.numbers = view.used * view.block.dimension
        self._takers: list[tuple[_Aim, View]] = []

    def serve(self, aim: _Aim, view: View) -> None:
        self._takers.append((aim, view))

    def read(self, kernel: Kernel) -> None:
        aims, views = zip(*self._takers, strict=True)
        queries = [aim.queries for aim in aims]
        scores, rows = kernel.best(
            views[0].block,
            views[0].used,
            queries[0] if len(queries) == 1 else np.concatenate(queries),
            max(aim.width(view, kernel.most) for aim, view in self._takers),
        )
        begin = 0
        for aim, view in self._takers:
            end = begin + len(aim.queries)
            width = aim.width(view, kernel.most)
            aim.found(_scan(view, scores[begin:end, :width], rows[begin:end, :width]))
            begin = end


def _scan(view: View, scores: Floats, rows: Index) -> _Scan:
    """What a kernel gave of a view; `scores` are changed."""
    hidden = np.full(len(scores), -np.inf, dtype=np.float32)
    if scores.shape[1] < view.used:
        hidden[:] = scores[:, -1]
    if len(view.dead):
        scores[np.isin(rows, view.dead)] = -np.inf
    return _Scan(view, scores, rows, hidden)


class _Part:
    """A few rows of a block for one aim: copied out, and scored all."""

    def __init__(self, aim: _Aim, few: Few) -> None:
        self.numbers = len(few.rows) * few.view.block.dimension
        self._aim = aim
        self._few = few

    def read(self, kernel: Kernel) -> None:
        view, rows, queries = self._few.view, self._few.rows, self._aim.queries
        nothing = np.full(len(queries), -np.inf, dtype=np.float32)
        for begin in range(0, len(rows), min(_PIECE, kernel.most)):
            piece = rows[begin : begin + min(_PIECE, kernel.most)]
            scores, where = kernel.best(
                Block(view.block.stored.copied(piece)), len(piece), queries, len(piece)
            )
            self._aim.found(_Scan(view, scores, piece[where], nothing))


class _Run:
    """Views whose short codes one thread looks through for an aim, from number `first` on."""

    def __init__(self, aim: _Aim, first: int, views: Sequence[View]) -> None:
        self._aim, self._first, self._views = aim, first, views
        rows = sum(view.used for view in views)
        self.numbers = rows * views[0].block.dimension // _LIGHTER

    def read(self, kernel: Kernel) -> None:
        aim = self._aim
        self._aim.listed(likely(self._views, self._first, aim.queries, kernel.shortlist))


def _runs(aim: _Aim, threads: int) -> list[_Portion]:
    """All views of an aim, in as many runs as there are threads to share them."""
    edges = np.linspace(0, len(aim.views), min(threads, len(aim.views)) + 1).astype(int).tolist()
    return [_Run(aim, begin, aim.views[begin:end]) for begin, end in pairwise(edges)]


def _portions(aims: Collection[_Aim], kernel: Kernel, threads: int) -> list[_Portion]:
    if kernel.shortlist:
        runs = [run for aim in aims if aim.views for run in _runs(aim, threads)]
        return [*runs, *(_Part(aim, few) for aim in aims for few in aim.few)]
    wholes: dict[tuple[int, int], _Whole] = {}
    for aim in aims:
        for view in aim.views:
            wholes.setdefault((id(view.block), view.used), _Whole(view)).serve(aim, view)
    return [*wholes.values(), *(_Part(aim, few) for aim in aims for few in aim.few)]


def _read(
    portions: Sequence[_Portion], kernel: Kernel, pool: Executor | None, threads: int
) -> None:
    """Read all, by as many threads as are worth it; each takes the next when it is ready."""
    left = iter(portions)

    def work() -> None:
        for portion in left:
            portion.read(kernel)

    worth = sum(portion.numbers for portion in portions) // SPREAD
    more = min(threads, worth, len(portions)) - 1 if pool else 0
    others = [pool.submit(work) for _ in range(more) if pool]
    work()
    for other in others:
        other.result()


@dataclass(frozen=True, slots=True)
class _Seat:
    """Where an ask sits: its selection of this number, among the queries from `begin` on."""

    source: int
    aim: _Aim
    begin: int


def _best_of(seats: Sequence[_Seat], number: int, ask: Ask) -> list[Candidate]:
    """The candidates of an ask's query of this number, from all of its selections."""
    hits = [(hit, seat.source) for seat in seats for hit in seat.aim.hits[seat.begin + number]]
    if len(seats) > 1:
        hits.sort(key=lambda each: (-each[0][0], each[0][1:]))
    least = _least(ask.floor)
    return [
        Candidate(UUID(bytes=person), UUID(bytes=face), similarity, source)
        for (similarity, person, face), source in hits[: ask.top]
        if similarity >= least
    ]


_Answer = tuple[list[list[Candidate]], float]
"""Candidates for each query, and the seconds that the search of its batch took."""


class Searcher:
    """Searches for many callers: those that wait share one pass over the rows.

    threads: how many search one gallery together. at_once: numbers in a gallery up to which it is
    searched without a hand-over to them. The others: as in MicroBatcher.
    """

    def __init__(
        self,
        kernel: Kernel | None = None,
        *,
        threads: int = 1,
        at_once: int = 0,
        limit: int = 64,
        depth: int = 1024,
        patience: float = 1.5,
        deadline: float = 30.0,
    ) -> None:
        self._kernel = kernel or CpuKernel()
        self._threads = threads
        self._at_once = at_once
        # Two pools: a search waits for its parts, and must not take the place they need.
        self._first = ThreadPoolExecutor(1, thread_name_prefix="search")
        self._others = ThreadPoolExecutor(max(1, threads - 1), thread_name_prefix="search-part")
        self.batcher: MicroBatcher[Ask, _Answer] = MicroBatcher(
            "search",
            in_thread(self._first, self._run),
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
        self, selections: Sequence[Selection], queries: Floats, top: int, floor: float = -1.0
    ) -> list[list[Candidate]]:
        """As `search`, in all `selections` together; raises what it raises, and Overloaded like
        MicroBatcher.submit. `source` of a candidate is the number of its selection.
        """
        ask = asking(selections, queries, top, floor)
        templates = sum(selection.size for selection in selections)
        if templates * queries.size <= self._at_once:
            [(answer, seconds)] = self._together([ask])
        else:
            answer, seconds = await self.batcher.submit(ask)
        current().add("search", seconds)
        return answer

    async def close(self) -> None:
        """Fail what waits, finish what runs, end the threads."""
        await self.batcher.close()
        self._first.shutdown()
        self._others.shutdown()

    def _run(self, asks: Sequence[Ask]) -> list[_Answer | Exception]:
        try:
            return [*self._together(asks)]
        except Exception as error:
            if len(asks) == 1:
                return [error]
        # One of them met a fault, of its gallery perhaps; the others need not share it.
        return [answer for ask in asks for answer in self._run([ask])]

    def _together(self, asks: Sequence[Ask]) -> list[_Answer]:
        begin = perf_counter()
        answers = search_all(asks, self._kernel, pool=self._others, threads=self._threads)
        seconds = perf_counter() - begin
        return [(answer, seconds) for answer in answers]


def _least(floor: float) -> float:
    """A floor of -1 lets everything pass: of opposite float32 rows the dot product may be less."""
    return floor if floor > -1 else -np.inf
