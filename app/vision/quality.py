"""Whether a face is good enough to be enrolled."""

from app.settings import QualityLimits
from app.types import Quality


def refusals(quality: Quality, limits: QualityLimits) -> list[str]:
    """Why a face of this quality is not enrolled, as stable codes; empty where it is good."""
    reasons = {
        "face_too_small": quality.size < limits.min_face_size,
        "low_detection_score": quality.detection_score < limits.min_detection_score,
        "too_blurred": quality.sharpness < limits.min_sharpness,
        "too_dark": quality.brightness < limits.min_brightness,
        "too_bright": quality.brightness > limits.max_brightness,
        "turned_yaw": abs(quality.yaw) > limits.max_yaw,
        "turned_pitch": abs(quality.pitch) > limits.max_pitch,
        "turned_roll": abs(quality.roll) > limits.max_roll,
    }
    return [reason for reason, holds in reasons.items() if holds]
