"""The micro-batcher: choosing a batch without a clock, and running with one."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import sleep
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import stages
from app.batching import Entry, MicroBatcher, in_thread, next_batch
from app.errors import Overloaded


class Answer:
    """Stands for a future: choosing asks it one thing only."""

    def __init__(self, left: bool) -> None:
        self._left = left

    def done(self) -> bool:
        return self._left


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 8))
def test_a_batch_is_the_oldest_who_still_wait(left: list[bool], limit: int) -> None:
    entries: list[Any] = [Entry(number, Answer(gone)) for number, gone in enumerate(left)]
    waiting = deque(entries)
    batch = next_batch(waiting, limit)
    staying = [entry for entry in entries if not entry.answer.done()]
    assert batch.taken == staying[:limit]
    assert len(batch.taken) + batch.left + len(waiting) == len(entries)
    if len(batch.taken) < limit:
        assert not waiting


def batcher(run: Callable[[Sequence[Any]], Sequence[Any]], **given: Any) -> MicroBatcher[Any, Any]:
    settings = {"workers": 1, "limit": 4, "depth": 100, "patience": 60.0, "deadline": 5.0, **given}
    return MicroBatcher("test", in_thread(ThreadPoolExecutor(4), run), **settings)


def test_what_waits_while_a_batch_runs_is_the_next_batch() -> None:
    seen: list[list[int]] = []
    gate = threading.Event()

    def run(items: Sequence[int]) -> Sequence[int]:
        seen.append(list(items))
        gate.wait(5)
        return [item * 10 for item in items]

    async def work() -> list[int]:
        queue = batcher(run)
        asks = [asyncio.create_task(queue.submit(number)) for number in range(6)]
        await asyncio.sleep(0.05)
        gate.set()
        return await asyncio.gather(*asks)

    assert asyncio.run(work()) == [0, 10, 20, 30, 40, 50]
    assert seen[0] in ([0], [0, 1, 2, 3])
    assert [item for batch in seen for item in batch] == [0, 1, 2, 3, 4, 5]
    assert all(len(batch) <= 4 for batch in seen)


def test_a_full_queue_refuses_at_once_and_a_late_answer_is_an_overload() -> None:
    gate = threading.Event()

    def run(items: Sequence[int]) -> Sequence[int]:
        gate.wait(5)
        return items

    async def work() -> None:
        queue = batcher(run, depth=1, limit=1, deadline=0.1)
        running = asyncio.create_task(queue.submit(1))
        await asyncio.sleep(0.02)
        waiting = asyncio.create_task(queue.submit(2))
        await asyncio.sleep(0.02)
        with pytest.raises(Overloaded, match="full"):
            await queue.submit(3)
        with pytest.raises(Overloaded, match="within"):
            await waiting
        with pytest.raises(Overloaded):
            await running
        gate.set()

    asyncio.run(work())


def test_one_bad_item_fails_alone_and_a_failed_run_fails_its_batch() -> None:
    def run(items: Sequence[int]) -> Sequence[int | Exception]:
        if 13 in items:
            raise RuntimeError("the device is gone")
        return [ValueError(item) if item < 0 else item for item in items]

    async def work() -> None:
        queue = batcher(run)
        asks = [asyncio.create_task(queue.submit(number)) for number in (1, -1, 2)]
        done = await asyncio.gather(*asks, return_exceptions=True)
        assert done[0] == 1
        assert isinstance(done[1], ValueError)
        assert done[2] == 2
        with pytest.raises(RuntimeError):
            await queue.submit(13)
        assert await queue.submit(7) == 7

    asyncio.run(work())


def test_who_has_left_is_not_run_and_is_counted() -> None:
    gate = threading.Event()
    seen: list[int] = []

    def run(items: Sequence[int]) -> Sequence[int]:
        gate.wait(5)
        seen.extend(items)
        return items

    async def work() -> int:
        queue = batcher(run, limit=1)
        first = asyncio.create_task(queue.submit(1))
        await asyncio.sleep(0.02)
        gone = asyncio.create_task(queue.submit(2))
        stays = asyncio.create_task(queue.submit(3))
        await asyncio.sleep(0.02)
        gone.cancel()
        await asyncio.sleep(0.02)
        gate.set()
        assert await asyncio.gather(first, stays) == [1, 3]
        return queue.dropped

    assert asyncio.run(work()) == 1
    assert seen == [1, 3]


def test_a_batcher_that_closes_fails_those_who_wait() -> None:
    gate = threading.Event()

    def run(items: Sequence[int]) -> Sequence[int]:
        gate.wait(5)
        return items

    async def work() -> None:
        queue = batcher(run, limit=1)
        running = asyncio.create_task(queue.submit(1))
        await asyncio.sleep(0.02)
        waiting = asyncio.create_task(queue.submit(2))
        await asyncio.sleep(0.02)
        gate.set()
        await queue.close()
        assert await running == 1
        with pytest.raises(Overloaded, match="stopping"):
            await waiting

    asyncio.run(work())


def test_who_would_wait_too_long_hears_so_at_once_with_the_seconds_to_stay_away() -> None:
    """Twenty batches of 50 ms teach the pace; then ten wait, and 0.2 s is the most."""
    gate = threading.Event()
    gate.set()

    def run(items: Sequence[int]) -> Sequence[int]:
        gate.wait(5)
        sleep(0.05)
        return items

    async def work() -> None:
        queue = batcher(run, limit=1, patience=0.2)
        for number in range(20):
            await queue.submit(number)
        gate.clear()
        asks: list[asyncio.Task[int]] = []
        refusals: list[Overloaded] = []
        for number in range(30):
            ask = asyncio.create_task(queue.submit(number))
            await asyncio.sleep(0.001)
            if ask.done():
                error = ask.exception()
                assert isinstance(error, Overloaded)
                refusals.append(error)
            else:
                asks.append(ask)
        assert 2 <= len(asks) <= 6, "about 0.2 s of batches of 50 ms"
        assert len(refusals) == 30 - len(asks)
        assert all(error.retry_after == 1 for error in refusals)
        with pytest.raises(Overloaded):
            queue.admit()
        gate.set()
        await asyncio.gather(*asks)
        queue.admit()

    asyncio.run(work())


def test_a_stage_slower_than_its_patience_still_takes_one_more() -> None:
    def run(items: Sequence[int]) -> Sequence[int]:
        sleep(0.05)
        return items

    async def work() -> None:
        queue = batcher(run, limit=1, patience=0.001)
        running = asyncio.create_task(queue.submit(1))
        await asyncio.sleep(0.01)
        waiting = asyncio.create_task(queue.submit(2))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="busy"):
            await queue.submit(3)
        assert await asyncio.gather(running, waiting) == [1, 2]
        assert await queue.submit(4) == 4

    asyncio.run(work())


def test_the_items_of_one_request_are_let_in_together() -> None:
    def run(items: Sequence[int]) -> Sequence[int]:
        sleep(0.005)
        return items

    async def request(queue: MicroBatcher[Any, Any], count: int) -> list[int]:
        stages.begin()
        return await asyncio.gather(*(queue.submit(number) for number in range(count)))

    async def work() -> None:
        queue = batcher(run, limit=1, patience=0.1)
        many = asyncio.create_task(request(queue, 40))
        await asyncio.sleep(0.02)
        with pytest.raises(Overloaded, match="busy"):
            await request(queue, 1)
        assert await many == list(range(40))

    asyncio.run(work())


def test_those_who_have_left_keep_nobody_away() -> None:
    gate = threading.Event()

    def run(items: Sequence[int]) -> Sequence[int]:
        gate.wait(5)
        return items

    async def work() -> None:
        queue = batcher(run, limit=1, patience=0.2)
        asks = [asyncio.create_task(queue.submit(0))]
        await asyncio.sleep(0.01)
        asks += [asyncio.create_task(queue.submit(number)) for number in range(1, 6)]
        await asyncio.sleep(0.01)
        queue._pace.seconds = 0.1
        with pytest.raises(Overloaded):
            queue.admit()
        for ask in asks[1:]:
            ask.cancel()
        await asyncio.sleep(0.01)
        queue.admit()
        gate.set()
        await asks[0]

    asyncio.run(work())


def test_a_longer_queue_sends_callers_away_for_longer() -> None:
    async def work() -> None:
        queue = batcher(lambda items: items, limit=1, patience=1.0)
        queue._pace.seconds = 0.5
        queue._free = 0  # nobody works, so the queue stays as it is
        queue._waiting.extend(
            Entry(number, asyncio.get_running_loop().create_future()) for number in range(9)
        )
        with pytest.raises(Overloaded) as refused:
            queue.admit()
        assert refused.value.retry_after == 5  # 9 batches of 0.5 s make 4.5 s

    asyncio.run(work())
