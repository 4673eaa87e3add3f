"""What is measured of a face means what it says."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.settings import QualityLimits
from app.types import Box, Detection, Pixels, Quality
from app.vision.align import align
from app.vision.detect import Detector
from app.vision.measure import FACE, measure, pose
from app.vision.quality import refusals

LIMITS = QualityLimits()
MIRRORED = [1, 0, 2, 4, 3]


def projected(yaw: float, pitch: float, roll: float, scale: float = 3.0) -> np.ndarray:
    """Landmarks of the generic face, turned: first yaw, then pitch, then roll, seen from afar."""
    y, p, r = (math.radians(each) for each in (yaw, pitch, roll))
    about_y = np.array([[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, math.cos(p), -math.sin(p)], [0, math.sin(p), math.cos(p)]])
    about_z = np.array([[math.cos(r), -math.sin(r), 0], [math.sin(r), math.cos(r), 0], [0, 0, 1]])
    return (FACE @ (about_z @ about_x @ about_y).T)[:, :2] * scale + (200, 300)


@given(st.floats(-170, 170), st.floats(0.1, 20))
def test_roll_is_the_turn_of_the_picture(roll: float, scale: float) -> None:
    found = pose(projected(0, 0, roll, scale).astype(np.float32))
    assert found.roll == pytest.approx(roll, abs=0.1)
    assert abs(found.yaw) < 0.1 and abs(found.pitch) < 0.1


@given(st.floats(-80, 80))
def test_yaw_alone_is_found_and_positive_to_the_right(yaw: float) -> None:
    found = pose(projected(yaw, 0, 0))
    assert found.yaw == pytest.approx(yaw, abs=0.1)


@given(st.floats(-60, 60))
def test_pitch_alone_is_found_and_positive_upwards(pitch: float) -> None:
    found = pose(projected(0, pitch, 0))
    assert found.pitch == pytest.approx(pitch, abs=0.1)


def test_a_nose_to_the_right_looks_right_and_a_high_nose_looks_up() -> None:
    landmarks = projected(0, 0, 0)
    landmarks[2] += (20, 0)
    assert pose(landmarks).yaw > 10
    landmarks[2] += (-20, -20)
    assert pose(landmarks).pitch > 10


@given(st.floats(-50, 50), st.floats(-30, 30), st.floats(-40, 40))
def test_the_mirror_image_looks_the_other_way(yaw: float, pitch: float, roll: float) -> None:
    landmarks = projected(yaw, pitch, roll)
    mirrored = (landmarks * (-1, 1))[MIRRORED]
    here, there = pose(landmarks), pose(mirrored)
    assert there.yaw == pytest.approx(-here.yaw, abs=1e-6)
    assert there.roll == pytest.approx(-here.roll, abs=1e-6)
    assert there.pitch == pytest.approx(here.pitch, abs=1e-6)


def test_poses_of_real_faces_follow_the_picture(
    detector: Detector, astronaut_pixels: Pixels
) -> None:
    straight = pose(detector.detect(astronaut_pixels)[0].landmarks)
    assert all(abs(each) < 15 for each in straight)
    mirrored = pose(detector.detect(np.ascontiguousarray(astronaut_pixels[:, ::-1]))[0].landmarks)
    assert mirrored.yaw == pytest.approx(-straight.yaw, abs=6)
    turn = cv2.getRotationMatrix2D((226, 118), -25, 1.0)
    tilted = cv2.warpAffine(astronaut_pixels, turn, (512, 512))
    found = pose(detector.detect(np.asarray(tilted, np.uint8))[0].landmarks)
    assert found.roll - straight.roll == pytest.approx(25, abs=5)


def test_a_good_photo_is_enrolled(detector: Detector, group_pixels: Pixels) -> None:
    for face in detector.detect(group_pixels):
        assert refusals(measure(face, align(group_pixels, face.landmarks)), LIMITS) == []


def of_the_astronaut(detector: Detector, pixels: Pixels) -> Quality:
    face = detector.detect(pixels)[0]
    return measure(face, align(pixels, face.landmarks))


def test_a_blurred_photo_is_refused_as_blurred(
    detector: Detector, astronaut_pixels: Pixels
) -> None:
    blurred = np.asarray(cv2.GaussianBlur(astronaut_pixels, (0, 0), 6), np.uint8)
    quality = of_the_astronaut(detector, blurred)
    assert "too_blurred" in refusals(quality, LIMITS)
    assert quality.sharpness < of_the_astronaut(detector, astronaut_pixels).sharpness / 10


def test_a_face_of_thirty_pixels_is_refused_as_small(
    detector: Detector, astronaut_pixels: Pixels
) -> None:
    small = cv2.resize(astronaut_pixels, None, fx=0.32, fy=0.32, interpolation=cv2.INTER_AREA)
    quality = of_the_astronaut(detector, np.asarray(small, np.uint8))
    assert quality.size == pytest.approx(30, abs=5)
    assert "face_too_small" in refusals(quality, LIMITS)


def test_dark_and_bright_photos_are_refused_as_such(
    detector: Detector, astronaut_pixels: Pixels
) -> None:
    face = detector.detect(astronaut_pixels)[0]
    crop = align(astronaut_pixels, face.landmarks)
    dark = (crop * 0.08).astype(np.uint8)
    bright = (255 - (255 - crop) * 0.02).astype(np.uint8)
    assert "too_dark" in refusals(measure(face, dark), LIMITS)
    assert "too_bright" in refusals(measure(face, bright), LIMITS)


@pytest.mark.parametrize(
    ("turn", "reason"),
    [((70, 0, 0), "turned_yaw"), ((0, -55, 0), "turned_pitch"), ((0, 0, 80), "turned_roll")],
)
def test_a_face_turned_away_is_refused(turn: tuple[int, int, int], reason: str) -> None:
    face = Detection(Box(0, 0, 200, 200), projected(*turn).astype(np.float32), 0.9)
    grey = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    assert refusals(measure(face, grey), LIMITS) == [reason]


def test_a_doubtful_detection_is_refused() -> None:
    face = Detection(Box(0, 0, 200, 200), projected(0, 0, 0).astype(np.float32), 0.51)
    grey = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    assert refusals(measure(face, grey), LIMITS) == ["low_detection_score"]
