"""A load that is given up leaves nothing behind."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from app.gallery.storage import FLOAT32
from app.sync.index import _build
from app.types import Position, Rows

DIMENSION = 8


def some(count: int = 4) -> Rows:
    draw = np.random.default_rng()
    vectors = draw.standard_normal((count, DIMENSION)).astype(np.float32)
    return Rows(
        faces=draw.integers(0, 256, (count, 16), dtype=np.uint8),
        persons=draw.integers(0, 256, (count, 16), dtype=np.uint8),
        vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
    )


async def coming(chunks: int, forever: bool = False) -> AsyncGenerator[Rows]:
    for _ in range(chunks):
        yield some()
    if forever:
        await asyncio.Event().wait()


def test_all_that_comes_is_laid_out() -> None:
    gallery = asyncio.run(_build(DIMENSION, Position(3, b""), coming(20), FLOAT32))
    assert (gallery.state.size, gallery.state.position) == (80, Position(3, b""))


@pytest.mark.timeout(60)
def test_one_that_is_cancelled_twice_leaves_no_thread_waiting() -> None:
    """While no thread is free: what is handed to one may be cancelled before it is begun."""
    enough = threading.Event()

    async def work() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(2))
        loading = asyncio.create_task(
            _build(DIMENSION, Position(0, b""), coming(2, forever=True), FLOAT32)
        )
        await asyncio.sleep(0.1)
        busy = asyncio.create_task(asyncio.to_thread(enough.wait))
        for _ in range(2):
            loading.cancel()
            await asyncio.sleep(0.05)
        enough.set()
        await busy
        with contextlib.suppress(asyncio.CancelledError):
            await loading

    asyncio.run(work())  # returns when every thread has ended


@pytest.mark.timeout(60)
def test_one_that_fails_does_not_leave_the_reader_waiting() -> None:
    async def unfit() -> AsyncGenerator[Rows]:
        yield some()
        for _ in range(20):
            yield replace(some(), vectors=np.zeros((4, DIMENSION), dtype=np.float32))

    with pytest.raises(ValueError, match="length one"):
        asyncio.run(_build(DIMENSION, Position(0, b""), unfit(), FLOAT32))
