"""How often is too often: the generic cell rate algorithm (ITU-T I.371, annex A), without a clock.

A bucket is one number, the moment until which it has been spent; each use moves that ahead. So it
can be kept in a row, and uses counted elsewhere are added by moving it further.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` uses at once, and as many again in each `period` seconds, evenly."""

    burst: int
    period: float

    @property
    def interval(self) -> float:
        """Seconds that one use costs."""
        return self.period / self.burst


@dataclass(slots=True)
class Bucket:
    """What was used of a rate. Times are seconds of one clock of the caller's choice."""

    rate: Rate
    spent_until: float = 0.0
    unsaved: int = 0

    def wait(self, now: float) -> float:
        """Seconds until one more use is within the rate; 0 where it is now."""
        ahead = max(self.spent_until, now) - now
        return max(0.0, ahead + self.rate.interval - self.rate.period)

    def spend(self, now: float) -> None:
        """Count one use, also one beyond the rate."""
        self.spent_until = max(self.spent_until, now) + self.rate.interval
        self.unsaved += 1

    def saved(self, uses: int) -> None:
        """`uses` are counted elsewhere now."""
        self.unsaved -= uses

    def seen(self, spent_until: float) -> None:
        """Elsewhere it is spent until `spent_until`, by what was saved here and by others."""
        self.spent_until = spent_until + self.unsaved * self.rate.interval
