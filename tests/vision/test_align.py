"""The crop lies as the contract says, whatever the face's place, size and turn."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.transform import SimilarityTransform

from app.types import Pixels
from app.vision.align import SIZE, TEMPLATE, align, similarity
from app.vision.detect import Detector

scales = st.floats(0.05, 40)
angles = st.floats(-math.pi, math.pi)
shifts = st.floats(-5000, 5000)


def moved(scale: float, angle: float, x: float, y: float) -> np.ndarray:
    turn = scale * np.array(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    )
    return TEMPLATE @ turn.T + (x, y)


@given(scales, angles, shifts, shifts)
def test_any_similarity_transform_is_undone(scale: float, angle: float, x: float, y: float) -> None:
    landmarks = moved(scale, angle, x, y)
    matrix = similarity(landmarks)
    assert np.allclose(landmarks @ matrix[:, :2].T + matrix[:, 2], TEMPLATE, atol=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_least_squares_agree_with_umeyama_of_another_library(seed: int) -> None:
    random = np.random.default_rng(seed)
    noise = random.normal(0, 4, (5, 2))
    landmarks = (
        moved(random.uniform(0.2, 5), random.uniform(-3, 3), *random.uniform(0, 500, 2)) + noise
    )
    oracle = SimilarityTransform.from_estimate(landmarks, TEMPLATE)
    assert np.allclose(similarity(landmarks), oracle.params[:2], atol=1e-6)


@pytest.mark.parametrize("landmarks", [np.ones((5, 2)), np.full((5, 2), np.nan)])
def test_landmarks_that_are_no_face_are_refused(landmarks: np.ndarray) -> None:
    with pytest.raises(ValueError, match="span"):
        similarity(landmarks)


def test_a_crop_that_is_there_already_is_taken_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    crop = align(picture, TEMPLATE.astype(np.float32))
    assert crop.shape == (SIZE, SIZE, 3) and crop.dtype == np.uint8
    assert np.abs(crop.astype(int) - picture).max() <= 1


def test_outside_of_the_picture_is_black() -> None:
    crop = align(np.full((60, 60, 3), 255, np.uint8), TEMPLATE.astype(np.float32))
    assert (crop[:55, :55] == 255).all()
    assert (crop[70:, 70:] == 0).all()


def test_the_crop_is_the_same_from_a_picture_turned_by_a_quarter(
    detector: Detector, astronaut_pixels: Pixels
) -> None:
    face = detector.detect(astronaut_pixels)[0]
    turned = np.ascontiguousarray(np.rot90(astronaut_pixels))
    width = astronaut_pixels.shape[1]
    points = np.stack([face.landmarks[:, 1], width - 1 - face.landmarks[:, 0]], axis=1)
    upright, from_turned = align(astronaut_pixels, face.landmarks), align(turned, points)
    assert np.abs(upright.astype(int) - from_turned).mean() < 0.5
