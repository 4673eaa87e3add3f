"""The detection benchmark knows where a face went when it copied a picture."""

import numpy as np
import pytest

from benchmarks.copies import COPIES, Place
from benchmarks.detection import Seen, centre_is_seen, letterbox, noses_found


@pytest.mark.parametrize("name", COPIES)
def test_a_point_of_a_picture_is_found_again_in_its_copy(name: str) -> None:
    pixels = np.full((250, 250, 3), 128, np.uint8)
    pixels[116:124, 96:104] = 255
    copy = COPIES[name](pixels)
    rows, columns = np.nonzero(copy.pixels.min(axis=2) > 220)
    x, y = copy.place.of(100, 120)
    scale = copy.place.scale
    assert abs(columns.mean() + 0.5 - x) < scale and abs(rows.mean() + 0.5 - y) < scale


def test_every_nose_has_a_box_of_its_own_and_what_is_left_is_false() -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]], np.float32)
    assert noses_found(boxes, [(5, 5), (6, 6), (25, 25)]) == (2, 1)


def test_the_largest_box_has_to_hold_the_middle() -> None:
    small, large = [120, 120, 130, 130], [0, 0, 50, 50]
    place = Place(1.0, 0, 0)
    assert centre_is_seen(Seen(place, np.array([small], np.float32), None))
    assert not centre_is_seen(Seen(place, np.array([small, large], np.float32), None))
    assert not centre_is_seen(Seen(place, np.empty((0, 4), np.float32), None))


def test_the_fixed_square_is_filled_by_the_longer_side() -> None:
    look = letterbox(250, 125)
    assert (look.width, look.height, look.canvas) == (640, 320, (640, 640))
