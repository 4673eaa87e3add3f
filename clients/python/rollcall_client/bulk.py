"""Many calls at once: a few under way, answers as they come."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
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


async def each_of(
    items: Iterable[Item] | AsyncIterable[Item],
    run: Callable[[Item], Awaitable[T]],
    concurrency: int,
) -> AsyncIterator[Outcome[Item, T]]:
    """Run every item, at most `concurrency` at a time, and give outcomes in the order they end.

    Items are taken when there is room for them, so a long list is never held at once. Whoever
    stops listening ends what is under way. What reading `items` raises is raised.
    """
    if concurrency < 1:
        raise ValueError("concurrency is 1 or more")
    source = _numbered(items)
    # One more task than are running: it waits for the next item.
    fetching: asyncio.Task[tuple[int, Item] | None] | None = None
    running: set[asyncio.Task[Outcome[Item, T]]] = set()
    exhausted = False
    try:
        while True:
            if not exhausted and fetching is None and len(running) < concurrency:
                fetching = asyncio.create_task(_next(source))
            if fetching is None and not running:
                return
            waiting = running | {fetching} if fetching is not None else running
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if fetching is not None and fetching in done:
                numbered, fetching = fetching.result(), None
                if numbered is None:
                    exhausted = True
                else:
                    running.add(asyncio.create_task(_outcome(*numbered, run)))
            for ended in [task for task in running if task in done]:
                running.remove(ended)
                yield ended.result()
    finally:
        left = running if fetching is None else running | {fetching}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


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


async def _next(source: AsyncIterator[tuple[int, Item]]) -> tuple[int, Item] | None:
    return await anext(source, None)
