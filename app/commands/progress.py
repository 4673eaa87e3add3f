"""How far a long command is: one line that is written over, or a line now and then in a log."""

import sys
from collections.abc import Callable
from time import monotonic
from typing import IO, Final

_LIVE: Final = 0.2
_LOGGED: Final = 10.0


class Line:
    """One line, written over, where a person looks on; else a line now and then."""

    def __init__(self, out: IO[str] | None = None, clock: Callable[[], float] = monotonic) -> None:
        self._out = out or sys.stderr
        self._clock = clock
        self._live = self._out.isatty()
        self._told = clock()
        self._shown = False

    def begin(self) -> None:
        self._told = self._clock()

    @property
    def due(self) -> bool:
        """Whether it is time to say something again."""
        return self._clock() - self._told >= (_LIVE if self._live else _LOGGED)

    def show(self, line: str) -> None:
        self._told = self._clock()
        self._shown = True
        if self._live:
            print(f"\r\x1b[K{line}", end="", file=self._out, flush=True)
        else:
            print(line, file=self._out, flush=True)

    def end(self) -> None:
        """Leave nothing behind that is written over."""
        if self._live and self._shown:
            print("\r\x1b[K", end="", file=self._out, flush=True)
        self._shown = False


class Progress:
    """Counts towards `total`, with pace and time left. To be ended with `end`."""

    def __init__(self, total: int, unit: str, out: IO[str] | None = None) -> None:
        self._total, self._unit = total, unit
        self._line = Line(out)
        self._begun = monotonic()
        self._done = 0

    def step(self, count: int = 1) -> None:
        self._done += count
        if not self._line.due:
            return
        pace = self._done / max(monotonic() - self._begun, 1e-9)
        left = (self._total - self._done) / pace if pace else 0.0
        self._line.show(
            f"{self._done:,} of {self._total:,} {self._unit} "
            f"({self._done / max(self._total, 1):.0%})  {pace:,.0f}/s  ETA {duration(left)}"
        )

    def end(self) -> None:
        self._line.end()


def duration(seconds: float) -> str:
    """In the largest unit that leaves something to read."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02} h"
