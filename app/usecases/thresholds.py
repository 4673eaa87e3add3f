"""From what a caller asks for to the similarity that counts as a match."""

from dataclasses import dataclass
from typing import Literal

from app.settings import Settings
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


def _of(calibration: Calibration | None) -> Calibration:
    if calibration is None:
        raise TargetUnsupported(
            "This pack has no calibration, so an error rate cannot be turned into a threshold. "
            "Send a threshold, or use a calibrated pack."
        )
    return calibration
