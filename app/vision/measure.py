"""What can be said of a face before it is recognised."""

import math
from typing import Final, NamedTuple

import cv2
import numpy as np

from app.types import Detection, Floats, Pixels, Quality

FACE: Final = np.array(
    [
        (-18.6, -21.9, 0.0),
        (18.6, -21.9, 0.0),
        (0.0, -0.5, 22.0),
        (-15.9, 16.2, 4.0),
        (15.9, 16.2, 4.0),
    ]
)
"""The five landmarks of a face that looks into the camera: float64[5, 3], crop pixels; z grows
towards the camera.

x and y are the medians of what CenterFace, SCRFD and YuNet find on press portraits (they agree to
half a pixel), made symmetric. Nose tip and mouth corners lie 0.6 and 0.1 eye distances before the
eyes, as in the canonical face of MediaPipe."""

_SOLVE: Final = np.linalg.pinv(FACE - FACE.mean(axis=0))


class Pose(NamedTuple):
    """Degrees. yaw: looks to the right of the picture when positive; pitch: up; roll: turned
    clockwise in the picture. All zero: upright and into the camera."""

    yaw: float
    pitch: float
    roll: float


def pose(landmarks: Floats) -> Pose:
    """Where a face looks, by its five landmarks, float32[5, 2] in pixels.

    Pose from orthography and scaling (DeMenthon and Davis, IJCV 1995) without its iterations: the
    camera that projects a generic face onto the landmarks with least squares, its two rows made
    orthonormal. No camera is known, so perspective is ignored; people differ, so expect errors of
    about ten degrees, more in profile.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    rows = (_SOLVE @ (points - points.mean(axis=0))).T
    # The nearest pair of orthonormal rows is the polar factor.
    left, _, right = np.linalg.svd(rows, full_matrices=False)
    across, down = left @ right
    ahead = np.cross(across, down)
    # `ahead` leaves the face where z did, so its third part is towards the camera; where the nose
    # points in the picture is the third column of the camera.
    look_x, look_y, look_z = across[2], down[2], ahead[2]
    yaw = math.degrees(math.atan2(look_x, math.hypot(look_y, look_z)))
    pitch = math.degrees(math.atan2(-look_y, look_z))
    roll = math.degrees(math.atan2(down[0], across[0]))
    return Pose(yaw, pitch, roll)


def measure(detection: Detection, crop: Pixels) -> Quality:
    """Size and pose of the region, sharpness and brightness of its crop, uint8[112, 112, 3]."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    turned = pose(detection.landmarks)
    return Quality(
        size=min(detection.box.width, detection.box.height),
        sharpness=float(cv2.Laplacian(grey[INNER], cv2.CV_32F).var()),
        brightness=float(grey[INNER].mean()) / 255.0,
        yaw=turned.yaw,
        pitch=turned.pitch,
        roll=turned.roll,
        detection_score=detection.score,
    )


INNER: Final = (slice(28, 104), slice(24, 88))
"""Brow to chin, cheek to cheek: what every crop shows of the face itself, and none of the border
that alignment fills with black."""
