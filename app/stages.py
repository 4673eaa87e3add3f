"""How long each stage of one request took, for Server-Timing and the latency metrics."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter


class Stages:
    """Seconds spent by stage of one request; a stage that is entered twice adds up.

    Threads may write to one object: each entry is a single dict update of its own key, and a
    request runs one stage at a time.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def add(self, name: str, seconds: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        begin = perf_counter()
        try:
            yield
        finally:
            self.add(name, perf_counter() - begin)


_current: ContextVar[Stages | None] = ContextVar("stages", default=None)


def begin() -> Stages:
    """Start counting for the request of this context."""
    stages = Stages()
    _current.set(stages)
    return stages


def current() -> Stages:
    """The request's stages; outside of a request, a fresh object that nobody reads."""
    return _current.get() or Stages()
