"""From what a caller asks for to the similarity that counts as a match."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from app.settings import Settings
from app.types import Caller
from app.usecases.looking import known_to
from app.usecases.rooms import Rooms
from app.vision.calibration import Calibration
from app.vision.errors import TargetUnsupported

Source = Literal["request", "calibration", "default"]


@dataclass(frozen=True, slots=True)
class Threshold:
    """The least similarity that counts, and who chose it."""

    value: float
    source: Source


def for_verify(
    calibration: Calibration | None,
    settings: Settings,
    *,
    threshold: float | None,
    target_fmr: float | None,
) -> Threshold:
    """The threshold of one comparison. Raises TargetUnsupported."""
    if threshold is not None:
        return Threshold(threshold, "request")
    if target_fmr is not None:
        return Threshold(_of(calibration).threshold_for_fmr(target_fmr), "calibration")
    if calibration is None:
        return Threshold(settings.default_threshold, "default")
    return Threshold(calibration.default_for_fmr(settings.default_target_fmr), "default")


def for_identify(
    calibration: Calibration | None,
    settings: Settings,
    gallery_size: int,
    *,
    threshold: float | None,
    target_fpir: float | None,
) -> Threshold:
    """The threshold of one search among `gallery_size` templates. Raises TargetUnsupported."""
    if threshold is not None:
        return Threshold(threshold, "request")
    # One template is the smallest gallery that the law speaks of; an empty one matches nobody.
    size = max(1, gallery_size)
    if target_fpir is not None:
        return Threshold(_of(calibration).threshold_for_fpir(target_fpir, size), "calibration")
    if calibration is None:
        return Threshold(settings.default_threshold, "default")
    return Threshold(calibration.default_for_fpir(settings.default_target_fpir, size), "default")


@dataclass(frozen=True, slots=True)
class Targets:
    """What thresholds a collection has today. `rows` are (target_fpir, threshold), the least rate
    first; none where the calibration cannot speak of a gallery of this size. `aim` is the rate
    that the default stands for, None without a calibration."""

    gallery_size: int
    revision: int
    model: str
    default: Threshold
    aim: float | None
    rows: Sequence[tuple[float, float]]


async def targets_of(rooms: Rooms, caller: Caller, collection: str) -> Targets:
    """Thresholds of POST /identify in `collection`, for every rate worth choosing.

    Raises CollectionNotFound, ModelNotLoaded, and what is temporarily unavailable.
    """
    known_to(caller, collection)
    view = await rooms.sync.view(collection)
    vision = rooms.vision_for(view.model)
    calibration, settings = vision.pack.calibration, rooms.settings
    default = for_identify(calibration, settings, view.size, threshold=None, target_fpir=None)
    aim, rows = None, list[tuple[float, float]]()
    if calibration is not None:
        law = calibration.fpir
        aim = min(max(settings.default_target_fpir, law.min_fpir), law.max_fpir)
        if view.size <= law.max_size:
            rows = [
                (rate, calibration.threshold_for_fpir(rate, max(1, view.size)))
                for rate in rates_between(law.min_fpir, law.max_fpir, also=aim)
            ]
    return Targets(view.size, view.revision, vision.model, default, aim, rows)


_STEPS: Final = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)


def rates_between(least: float, most: float, *, also: float) -> list[float]:
    """Round rates from `least` to `most`, both and `also` among them, in even steps for the eye."""
    decades = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    round_ones = (float(f"{step:g}e{decade}") for decade in decades for step in _STEPS)
    return sorted({least, also, most, *(rate for rate in round_ones if least < rate < most)})


def _of(calibration: Calibration | None) -> Calibration:
    if calibration is None:
        raise TargetUnsupported(
            "This pack has no calibration, so an error rate cannot be turned into a threshold. "
            "Send a threshold, or use a calibrated pack."
        )
    return calibration
