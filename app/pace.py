"""How fast a stage works, and so how long a newcomer would wait. No clock of its own."""

from typing import Final

WEIGHT: Final = 1 / 16
"""Share of the newest batch in the mean: some dozen batches are remembered."""

SURPRISE: Final = 4.0
"""A batch counts as at most so many times the mean, so that one huge picture, or a first run in
cold caches, does not turn the next callers away. A lasting change is learnt within 20 batches."""

PRIOR: Final = 0.03
"""Seconds that a batch is thought to take before any was seen: a picture on one CPU core."""


class Pace:
    """A running mean of the seconds a batch takes, for a stage with `workers` workers."""

    def __init__(self, workers: int) -> None:
        self.seconds = PRIOR
        self._workers = workers

    def took(self, seconds: float) -> None:
        """A batch took so long."""
        counted = min(seconds, SURPRISE * self.seconds)
        self.seconds += WEIGHT * (counted - self.seconds)

    def wait(self, batches: int) -> float:
        """Seconds until a newcomer begins with so many batches before it, running or waiting."""
        return batches * self.seconds / self._workers
