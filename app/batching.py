"""The micro-batcher: no timer, bounded, and free of what it runs.

A free worker takes everything that waits, up to the batch limit, and runs it; while it runs, the
next batch gathers. An idle service therefore adds no latency and a busy one gets full batches.
"""

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from time import perf_counter
from typing import Generic, TypeVar

from app.errors import Overloaded
from app.pace import Pace
from app.stages import Stages, current

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(slots=True, eq=False)
class Entry(Generic[Item, Answer]):
    """One item, the future its caller waits on, and when it came."""

    item: Item
    answer: asyncio.Future[Answer]
    came: float = field(default_factory=perf_counter)
    stages: Stages = field(default_factory=current)


@dataclass(frozen=True, slots=True)
class Batch(Generic[Item, Answer]):
    """What one worker takes at once, and how many entries were dropped on the way to it."""

    taken: list[Entry[Item, Answer]]
    left: int


def next_batch(waiting: deque[Entry[Item, Answer]], limit: int) -> Batch[Item, Answer]:
    """Oldest first; an entry whose caller has gone takes no place and is counted."""
    taken: list[Entry[Item, Answer]] = []
    left = 0
    while waiting and len(taken) < limit:
        entry = waiting.popleft()
        if entry.answer.done():
            left += 1
        else:
            taken.append(entry)
    return Batch(taken, left)


def in_thread(
    executor: Executor, run: Callable[[Sequence[Item]], Sequence[Answer | Exception]]
) -> Callable[[Sequence[Item]], Awaitable[Sequence[Answer | Exception]]]:
    """`run` in a thread of `executor`, as a MicroBatcher wants it."""

    def start(items: Sequence[Item]) -> Awaitable[Sequence[Answer | Exception]]:
        return asyncio.get_running_loop().run_in_executor(executor, run, items)

    return start


class MicroBatcher(Generic[Item, Answer]):
    """Awaits `run(items) -> answers`, `workers` batches at a time.

    `run` returns one answer an item, in order; an Exception in an item's place fails that item
    alone, and one that `run` raises fails its whole batch. `limit` bounds a batch. `submit` raises
    Overloaded at once where an item would wait longer than `patience` seconds, as far as can be
    told from how long batches took so far, and where `depth` items wait. An entry that has waited
    `deadline` seconds is answered with Overloaded too.
    """

    def __init__(
        self,
        name: str,
        run: Callable[[Sequence[Item]], Awaitable[Sequence[Answer | Exception]]],
        *,
        workers: int,
        limit: int,
        depth: int,
        patience: float,
        deadline: float,
    ) -> None:
        self.name = name
        self.dropped = 0
        self.batches = 0
        self._run = run
        self._limit = limit
        self._depth = depth
        self._patience = patience
        self._deadline = deadline
        self._pace = Pace(workers)
        self._waiting: deque[Entry[Item, Answer]] = deque()
        self._free = workers
        self._running: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def wait(self) -> float:
        """Seconds that an item which came now would wait; about right, and 0 if a worker is free.

        Nobody is told to come later while nothing waits: a stage slower than its patience would
        else take one item at a time, and never learn that it has become faster.
        """
        present = sum(not entry.answer.done() for entry in self._waiting)
        if not present:
            return 0.0
        return self._pace.wait(len(self._running) + math.ceil(present / self._limit))

    def admit(self) -> None:
        """Raises Overloaded, with the seconds to stay away, where an item would wait too long."""
        wait = self.wait
        if wait > self._patience:
            raise Overloaded(
                f"Stage '{self.name}' is busy for {wait:.1f} s. Try again after that, with fewer "
                "requests at a time.",
                retry_after=math.ceil(wait),
                stage=self.name,
            )

    async def submit(self, item: Item) -> Answer:
        """The answer for `item`. Raises Overloaded, and whatever `run` gave in its place."""
        # The images of one request are let in together: else it could never have many.
        request = current()
        if not any(entry.stages is request for entry in self._waiting):
            self.admit()
        if len(self._waiting) >= self._depth:
            raise Overloaded(
                f"The queue of stage '{self.name}' is full ({self._depth} waiting). Try again.",
                stage=self.name,
            )
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append(Entry(item, answer))
        self._start_workers()
        try:
            async with asyncio.timeout(self._deadline):
                return await answer
        except TimeoutError:
            raise Overloaded(
                f"Stage '{self.name}' did not answer within {self._deadline:g} s. Try again.",
                stage=self.name,
            ) from None

    async def close(self) -> None:
        """Fail what waits and let what runs come to its end."""
        for entry in self._waiting:
            if not entry.answer.done():
                entry.answer.set_exception(Overloaded("The service is stopping."))
        self._waiting.clear()
        for task in list(self._running):
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _start_workers(self) -> None:
        while self._free and self._waiting:
            self._free -= 1
            task = asyncio.get_running_loop().create_task(self._work())
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _work(self) -> None:
        """One worker, awake while there is work; it hands its place back before it sleeps."""
        try:
            while self._waiting:
                batch = next_batch(self._waiting, self._limit)
                self.dropped += batch.left
                if batch.taken:
                    await self._answer(batch.taken)
        finally:
            self._free += 1

    async def _answer(self, taken: list[Entry[Item, Answer]]) -> None:
        begin = perf_counter()
        for entry in taken:
            entry.stages.add(f"{self.name}_wait", begin - entry.came)
        self.batches += 1
        try:
            answers = await self._run([entry.item for entry in taken])
        except Exception as error:
            answers = [error] * len(taken)
        self._pace.took(perf_counter() - begin)
        for entry, answer in zip(taken, answers, strict=True):
            if entry.answer.done():
                continue
            if isinstance(answer, Exception):
                entry.answer.set_exception(answer)
            else:
                entry.answer.set_result(answer)
