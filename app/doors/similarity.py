"""Similarity from 0 to 100, as callers of other services know it, and the cosine behind it.

The scale is pinned to false match rates, so that a threshold means the same with every calibrated
pack: 50 is an FMR of 1 in 10, 80 of 1 in 1,000, 99 of 1 in 10,000, 99.9 of 1 in 100,000, and so on
with another nine for each decade, as far as the pack's calibration goes. In between it is linear in
the logarithm of the FMR, outside of what was measured linear in the cosine.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.vision.calibration import Calibration

DEFAULT: Final = 80.0
"""What a similarity has to reach where the caller names no threshold."""

# Similarity by FMR; below the last of them another nine for each decade.
_ANCHORS: Final = ((1.0, 0.0), (0.1, 50.0), (0.001, 80.0), (0.0001, 99.0))

# The fourth decimal of a cosine is as much as the service tells anybody.
_DECIMALS: Final = 1e4

# What two ways of computing one number may differ by.
_ROUNDING: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Scale:
    """A strictly rising, piecewise linear map of the cosine, -1 to 1, onto 0 to 100.

    `cosines` and `percents` are its corners, both ascending.
    """

    cosines: tuple[float, ...]
    percents: tuple[float, ...]

    def percent(self, cosine: float) -> float:
        """The similarity, 0 to 100, of a cosine; rounding may have put that outside of -1 to 1."""
        return float(np.interp(cosine, self.cosines, self.percents))

    def cosine(self, percent: float) -> float:
        """The cosine, -1 to 1, of a similarity."""
        return float(np.interp(percent, self.percents, self.cosines))

    def floor(self, percent: float) -> float:
        """A cosine that whatever reaches `percent` reaches too, and very little else."""
        return self.cosine(percent) - _ROUNDING

    def told(self, cosine: float) -> float:
        """The similarity of a match as a caller is told it, no finer than four decimals of the
        cosine. Rounded up, so that what reached a threshold is never said to lie below it."""
        return self.percent(math.ceil(cosine * _DECIMALS - _ROUNDING) / _DECIMALS)

    def told_of_miss(self, cosine: float) -> float:
        """The same of what did not reach a threshold, rounded down."""
        return self.percent(math.floor(cosine * _DECIMALS) / _DECIMALS)


def scale_of(calibration: Calibration | None, default_threshold: float) -> Scale:
    """The scale of a pack. Without a calibration 80 is `default_threshold`, and no FMR is known."""
    if calibration is None:
        middle = min(max(default_threshold, -0.99), 0.99)
        return _through([(middle, DEFAULT)])
    rates = {row.fmr for row in calibration.fmr}
    rates |= {fmr for fmr, _ in _ANCHORS if calibration.least_fmr <= fmr <= calibration.most_fmr}
    # As a threshold for the rate would be given, rounded up as all of them are: whoever asks for 80
    # gets what whoever asks for an FMR of 1 in 1,000 gets.
    return _through(
        (calibration.threshold_for_fmr(fmr), _percent_at(fmr))
        for fmr in sorted(rates, reverse=True)
    )


def _through(points: Iterable[tuple[float, float]]) -> Scale:
    """The scale through `points`, ascending in both. Of several at one cosine the first counts,
    which promises least."""
    corners = [(-1.0, 0.0)]
    for cosine, percent in points:
        if corners[-1][0] < cosine < 1.0 and corners[-1][1] < percent < 100.0:
            corners.append((cosine, percent))
    corners.append((1.0, 100.0))
    cosines, percents = zip(*corners, strict=True)
    return Scale(cosines, percents)


def _percent_at(fmr: float) -> float:
    if fmr <= _ANCHORS[-1][0]:
        return 100.0 - 1e4 * fmr
    return float(
        np.interp(
            -math.log10(fmr),
            [-math.log10(rate) for rate, _ in _ANCHORS],
            [percent for _, percent in _ANCHORS],
        )
    )
