"""QualityFilter: how good a face must be to be looked at."""

from collections.abc import Mapping
from typing import Final

from app.settings import QualityLimits

_BARS: Final[Mapping[str, QualityLimits]] = {
    "MEDIUM": QualityLimits(
        min_face_size=64,
        min_detection_score=0.7,
        min_sharpness=40,
        min_brightness=0.15,
        max_brightness=0.9,
        max_yaw=40,
        max_pitch=30,
        max_roll=45,
    ),
    "HIGH": QualityLimits(
        min_face_size=112,
        min_detection_score=0.8,
        min_sharpness=80,
        min_brightness=0.2,
        max_brightness=0.85,
        max_yaw=25,
        max_pitch=20,
        max_roll=30,
    ),
}


def bar(name: str | None, installed: QualityLimits) -> QualityLimits:
    """The limits of a filter: never less strict than those of the installation."""
    asked = _BARS.get(name or "")
    if asked is None:
        return installed
    return QualityLimits(
        **{
            field: (max if field.startswith("min_") else min)(
                getattr(asked, field), getattr(installed, field)
            )
            for field in QualityLimits.model_fields
        }
    )


def bar_of_probe(name: str | None, installed: QualityLimits) -> QualityLimits | None:
    """The same for a picture that is only looked at: NONE asks for nothing."""
    return None if name in (None, "NONE") else bar(name, installed)
