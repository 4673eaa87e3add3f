"""Similarity from 0 to 1, as callers of CompreFace know it.

There, most true guesses lie above 0.5 and most false ones below. The shared scale of the doors has
80 where a verification has its threshold (an FMR of 1 in 1,000), so 0 to 80 becomes 0 to 0.5 and 80
to 100 becomes 0.5 to 1: 0.5 is an FMR of 1 in 1,000, 0.975 of 1 in 10,000, 0.9975 of 1 in 100,000.
"""

from collections.abc import Callable

import numpy as np

from app.doors.similarity import DEFAULT
from app.doors.similarity import scale_of as percents_of
from app.usecases.rooms import Rooms
from app.vision.calibration import Calibration

Scale = Callable[[float], float]


def scale(house: Rooms, model: str) -> Scale:
    """From cosine to similarity, for embeddings of `model`."""
    calibration = house.vision_for(model).pack.calibration
    return scale_of(calibration, house.settings.default_threshold)


def scale_of(calibration: Calibration | None, default_threshold: float) -> Scale:
    """From cosine, -1 to 1, to similarity, 0 to 1; monotone.

    Without a calibration 0.5 is `default_threshold`, and no FMR is known.
    """
    percents = percents_of(calibration, default_threshold)

    def similarity(cosine: float) -> float:
        percent = percents.told(cosine)
        return round(float(np.interp(percent, (0.0, DEFAULT, 100.0), (0.0, 0.5, 1.0))), 6)

    return similarity
