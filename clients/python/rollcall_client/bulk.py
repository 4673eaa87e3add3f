"""Many calls at once: a few under way, answers as they come."""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
)
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Item, T]):
    """What became of one item: an answer, or the error that it ended in.

    index: its place among the items, from 0.
    """

    index: int
    item: Item
    answer: T | None
    error: Exception | None

    def value(self) -> T:
        """The answer. Raises the error where there is none."""
        if self.answer is None:
            raise self.error or AssertionError("an answer or an error")
        return self.answer


@dataclass(frozen=True, slots=True)
class _End:
    """A worker has nothing left to do; `fault` is what the items broke with."""

    fault: Exception | None = None


async def each_of(
    items: Iterable[Item] | AsyncIterable[Item],
    run: Callable[[Item], Awaitable[T]],
    concurrency: int,
) -> AsyncGenerator[Outcome[Item, T], None]:
    """Run every item, at most `concurrency` at a time, and give outcomes in the order they end.

    Items are taken when there is room for them, so a long list is never held at once. Whoever
    stops listening ends what is under way. What reading `items` raises is raised in the end.
    """
    if concurrency < 1:
        raise ValueError("concurrency is 1 or more")
    source, turn = _numbered(items), asyncio.Lock()
    # Bounded: who listens slowly slows the work down.
    ended: asyncio.Queue[Outcome[Item, T] | _End] = asyncio.Queue(concurrency)

    async def work() -> None:
        try:
            while True:
                async with turn:
                    numbered = await anext(source, None)
                if numbered is None:
                    break
                await ended.put(await _outcome(*numbered, run))
        except Exception as fault:  # of the items: outcomes hold their own
            await ended.put(_End(fault))
        else:
            await ended.put(_End())

    workers = [asyncio.create_task(work()) for _ in range(concurrency)]
    faults: list[Exception] = []
    try:
        left = concurrency
        while left:
            match await ended.get():
                case _End(fault):
                    left -= 1
                    faults += [fault] if fault is not None else []
                case outcome:
                    yield outcome
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    if faults:
        raise faults[0]


async def _outcome(index: int, item: Item, run: Callable[[Item], Awaitable[T]]) -> Outcome[Item, T]:
    try:
        return Outcome(index, item, await run(item), None)
    except Exception as error:  # of whatever kind: it belongs to this item and to no other
        return Outcome(index, item, None, error)


async def _numbered(
    items: Iterable[Item] | AsyncIterable[Item],
) -> AsyncIterator[tuple[int, Item]]:
    index = 0
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield index, item
            index += 1
    else:
        for item in items:
            yield index, item
            index += 1
