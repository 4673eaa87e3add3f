"""Waiting for what comes of itself, with an end to the patience."""

import asyncio
import time
from collections.abc import Awaitable, Callable

PATIENCE = 60.0


def wait_until(
    holds: Callable[[], bool], what: str = "it never came to be", patience: float = PATIENCE
) -> None:
    """Returns once `holds()`; an assertion that says `what` after `patience` seconds."""
    give_up = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < give_up, what
        time.sleep(0.02)


async def until(
    holds: Callable[[], Awaitable[bool]],
    what: str = "it never came to be",
    patience: float = PATIENCE,
) -> None:
    """`wait_until` for what must be awaited."""
    give_up = time.monotonic() + patience
    while not await holds():
        assert time.monotonic() < give_up, what
        await asyncio.sleep(0.02)
