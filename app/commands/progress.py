"""How far a long command is: one line that is written over, or a line now and then in a log."""

import sys
from time import monotonic
from typing import IO, Final

_LIVE: Final = 0.2
_LOGGED: Final = 10.0


class Progress:
    """Counts towards `total`, with pace and time left. To be ended with `end`."""

    def __init__(self, total: int, unit: str, out: IO[str] | None = None) -> None:
        self._total, self._unit = total, unit
        self._out = out or sys.stderr
        self._live = self._out.isatty()
        self._begun = self._told = monotonic()
        self._done = 0
        self._shown = False

    def step(self, count: int = 1) -> None:
        self._done += count
        now = monotonic()
        if now - self._told < (_LIVE if self._live else _LOGGED):
            return
        self._told, self._shown = now, True
        pace = self._done / (now - self._begun)
        left = (self._total - self._done) / pace if pace else 0.0
        line = (
            f"{self._done:,} of {self._total:,} {self._unit} "
            f"({self._done / max(self._total, 1):.0%})  {pace:,.0f}/s  ETA {left:,.0f} s"
        )
        if self._live:
            print(f"\r\x1b[K{line}", end="", file=self._out, flush=True)
        else:
            print(line, file=self._out, flush=True)

    def end(self) -> None:
        if self._live and self._shown:
            print("\r\x1b[K", end="", file=self._out, flush=True)
