"""Every face in the photos is found, in its place, in an order that nothing changes."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.problems import status_of
from app.types import Box, Detection, ImageLimits, Pixels
from app.vision.boxes import MAX_CANDIDATES, Found, ordered, overlaps, suppress
from app.vision.decode import decode
from app.vision.detect import (
    Detector,
    around,
    close_look,
    detections,
    divisible,
    first_look,
    lay,
    merged,
    open_detector,
    second_look,
)
from app.vision.detectors import KINDS
from app.vision.errors import DeviceFailed, PackInvalid
from app.vision.pack import DetectorPart, Pack, read_pack
from app.vision.session import RUN_ERRORS
from tests.tiny_pack import centerface_file

# Nose tips of the six people in the group photo and of the astronaut.
GROUP = [(119, 342), (307, 226), (508, 359), (773, 428), (920, 149), (1169, 349)]
ASTRONAUT = (223, 126)


@st.composite
def crowds(draw: st.DrawFn) -> Found:
    """Regions that overlap, some with equal scores and areas."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(0, 60))
    corner = random.integers(0, 40, (count, 2))
    sides = random.integers(1, 30, (count, 2))
    return Found(
        boxes=np.concatenate([corner, corner + sides], axis=1).astype(np.float32),
        scores=(random.integers(50, 60, count) / 100).astype(np.float32),
        landmarks=random.uniform(0, 60, (count, 5, 2)).astype(np.float32),
    )


def same(a: Found, b: Found) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@given(crowds(), st.floats(0.1, 0.9))
def test_suppressing_twice_is_suppressing_once(found: Found, threshold: float) -> None:
    once = suppress(found, threshold)
    assert same(once, suppress(once, threshold))


@given(crowds(), st.floats(0.1, 0.9))
def test_survivors_do_not_overlap_and_each_victim_overlaps_a_better_one(
    found: Found, threshold: float
) -> None:
    kept = suppress(found, threshold)
    for at, box in enumerate(kept.boxes):
        assert (overlaps(box, np.delete(kept.boxes, at, axis=0)) <= threshold).all()
    for box, score in zip(found.boxes, found.scores, strict=True):
        near = overlaps(box, kept.boxes) > threshold
        assert (kept.boxes == box).all(axis=1).any() or (kept.scores[near] >= score).any()


@given(crowds(), st.randoms())
def test_the_order_of_candidates_does_not_matter(found: Found, random: object) -> None:
    rows = np.arange(len(found.scores))
    random.shuffle(rows)
    assert np.array_equal(suppress(found, 0.4).boxes, suppress(found.take(rows), 0.4).boxes)


def test_a_picture_that_lights_every_cell_costs_no_more_than_a_crowd() -> None:
    random = np.random.default_rng(0)
    corner = random.uniform(0, 5000, (50_000, 2))
    boxes = np.concatenate([corner, corner + 1], axis=1).astype(np.float32)
    found = Found(boxes, random.random(50_000, np.float32), np.zeros((50_000, 5, 2), np.float32))
    assert len(suppress(found, 0.4).scores) <= MAX_CANDIDATES


def detection(score: float, x: float, y: float, width: float, height: float) -> Detection:
    return Detection(Box(x, y, width, height), np.zeros((5, 2), np.float32), score)


def test_order_is_score_then_area_then_position() -> None:
    best = detection(0.9, 50, 50, 10, 10)
    larger = detection(0.8, 50, 50, 20, 20)
    higher = detection(0.8, 50, 0, 10, 10)
    further_left = detection(0.8, 0, 50, 10, 10)
    last = detection(0.8, 50, 50, 10, 10)
    expected = [best, larger, higher, further_left, last]
    for _ in range(5):
        shuffled = list(expected)
        np.random.default_rng(_).shuffle(shuffled)
        assert ordered(shuffled) == expected


@given(st.integers(1, 10_000), st.integers(1, 10_000))
def test_a_look_keeps_the_shape_and_never_enlarges(width: int, height: int) -> None:
    first = first_look(width, height, (320, 640))
    second = second_look(first)
    for look in (first, second):
        assert 1 <= look.width <= max(1, width) and 1 <= look.height <= max(1, height)
        assert max(look.width, look.height) <= 640
        assert look.left + look.width <= look.canvas[0]
        assert look.top + look.height <= look.canvas[1]
        assert all(side % 32 == 0 for side in look.canvas)
    scale = min(1, 640 / max(width, height))
    assert abs(first.width - width * scale) <= 0.5 or first.width == 1
    assert abs(first.height - height * scale) <= 0.5 or first.height == 1


@given(st.integers(1, 700), st.integers(1, 700), st.sampled_from([32, 160]))
def test_a_shrunk_picture_shows_everything_in_its_place(width: int, height: int, size: int) -> None:
    """A slope stays a slope, to the last pixel."""
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    slope = np.stack([across * 255 / width, down * 255 / height, across * 0], axis=2)
    look = first_look(width, height, (size,))
    pixels = divisible(np.asarray(slope, np.uint8), look)
    # Less than a pixel of the canvas is left out.
    assert (height - pixels.shape[0]) * look.height < height
    assert (width - pixels.shape[1]) * look.width < width
    small = lay(pixels, look)[: look.height, : look.width]
    middle = (np.arange(look.width) + 0.5) * pixels.shape[1] / look.width * 255 / width
    assert np.abs(small[0, :, 0] - middle).max() < 3 + 255 / width


def test_all_six_people_are_found_each_by_the_nose(
    detector: Detector, group_pixels: Pixels
) -> None:
    faces = detector.detect(group_pixels)
    assert len(faces) == 6
    assert [each.score for each in faces] == sorted((each.score for each in faces), reverse=True)
    noses = sorted(tuple(each.landmarks[2]) for each in faces)
    assert np.abs(np.array(noses) - sorted(GROUP)).max() < 25


def test_left_is_left_in_the_picture_and_eyes_are_above_mouths(
    detector: Detector, group_pixels: Pixels
) -> None:
    for face in detector.detect(group_pixels):
        left_eye, right_eye, nose, mouth_left, mouth_right = face.landmarks
        assert left_eye[0] < right_eye[0] and mouth_left[0] < mouth_right[0]
        assert max(left_eye[1], right_eye[1]) < min(mouth_left[1], mouth_right[1])
        assert face.box.y < nose[1] < face.box.y + face.box.height


def test_a_picture_without_faces_has_none(detector: Detector, faceless: bytes) -> None:
    from app.vision.decode import decode

    assert detector.detect(decode(faceless, ImageLimits())) == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (31, 33), (3000, 20)])
def test_odd_shapes_are_no_trouble(detector: Detector, shape: tuple[int, int]) -> None:
    assert detector.detect(np.full((*shape, 3), 128, np.uint8)) == []


@pytest.mark.parametrize("scale", [0.35, 1.0, 3.0])
def test_landmarks_are_in_pixels_of_the_picture_at_any_size(
    detector: Detector, astronaut_pixels: Pixels, scale: float
) -> None:
    resized = cv2.resize(astronaut_pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    face = detector.detect(np.asarray(resized, np.uint8))[0]
    assert np.abs(face.landmarks[2] / scale - ASTRONAUT).max() < 5


@pytest.mark.parametrize("scale", [0.6, 2.0, 8.0])
def test_a_face_that_fills_the_frame_is_found(
    detector: Detector, astronaut_pixels: Pixels, scale: float
) -> None:
    tight = astronaut_pixels[60:178, 182:270]
    resized = cv2.resize(tight, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    faces = detector.detect(np.asarray(resized, np.uint8))
    assert len(faces) == 1
    assert np.abs(faces[0].landmarks[2] / scale + (182, 60) - ASTRONAUT).max() < 6


@pytest.mark.parametrize(
    ("scale", "side"), [(0.35, 0), (1, 0), (3, 0), (0.35, 700), (1, 700), (1, 2400), (3, 2400)]
)
def test_who_wants_the_largest_face_alone_gets_the_same(
    detector: Detector, astronaut_pixels: Pixels, scale: float, side: int
) -> None:
    """In frames in which it is large, small, and too small for a coarse look."""
    resized = cv2.resize(astronaut_pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = resized.shape[:2]
    frame = np.full((max(side, height), max(side, width), 3), 90, np.uint8)
    frame[:height, frame.shape[1] - width :] = resized
    [face] = detector.detect(frame, most=1)
    fine = max(detector.detect(frame), key=lambda each: each.box.area)
    assert np.abs(face.landmarks - fine.landmarks).max() < 5 * max(scale, side / 640)
    place = face.landmarks[2] - (frame.shape[1] - width, 0)
    assert np.abs(place / scale - ASTRONAUT).max() < 6


def test_the_largest_of_several_is_told_by_a_coarse_look(
    detector: Detector, group_pixels: Pixels
) -> None:
    grown = np.asarray(cv2.resize(group_pixels[:, :620], None, fx=2, fy=2), np.uint8)
    frame = np.zeros((1886, 1886, 3), np.uint8)
    frame[: grown.shape[0], : grown.shape[1]] = grown
    frame[1240:, 1266:] = group_pixels[:646, 620:1240]
    [face] = detector.detect(frame, most=1)
    every = detector.detect(frame)
    assert len(every) == 6
    assert face.box.area > 0.8 * max(each.box.area for each in every)


def test_no_face_is_none_for_who_wants_one(detector: Detector, faceless: bytes) -> None:
    assert detector.detect(decode(faceless, ImageLimits()), most=1) == []


@given(
    st.floats(-50, 900), st.floats(-50, 900), st.floats(1, 900), st.floats(1, 900),
    st.integers(1, 900), st.integers(1, 900),
)  # fmt: skip
def test_what_is_around_a_face_lies_in_the_picture(
    x: float, y: float, wide: float, high: float, width: int, height: int
) -> None:
    left, top = max(0.0, min(x, width - 1)), max(0.0, min(y, height - 1))
    box = Box(left, top, min(wide, width - left), min(high, height - top))
    region = around(box, width, height)
    assert 0 <= region.left <= box.x and 0 <= region.top <= box.y
    assert box.x + box.width <= region.right + 1e-6 and region.right <= width
    assert box.y + box.height <= region.bottom + 1e-6 and region.bottom <= height
    assert max(close_look(region).canvas) <= 128


def test_a_face_cut_by_the_rim_keeps_its_landmarks(
    detector: Detector, astronaut_pixels: Pixels
) -> None:
    whole = detector.detect(astronaut_pixels)[0]
    cut = detector.detect(np.ascontiguousarray(astronaut_pixels[:, 195:]))[0]
    shift = cut.landmarks + np.array([195, 0]) - whole.landmarks
    assert np.abs(shift).max() < 8


def test_boxes_end_where_the_picture_ends_and_empty_ones_are_dropped() -> None:
    look = first_look(200, 100, (640,))
    found = Found(
        boxes=np.array([[-20, -10, 50, 60], [150, 50, 260, 130], [210, 5, 260, 30]], np.float32),
        scores=np.array([0.9, 0.8, 0.7], np.float32),
        landmarks=np.arange(30, dtype=np.float32).reshape(3, 5, 2) - 12,
    )
    first, second = detections(found, look, 200, 100)
    assert first.box == Box(0, 0, 50, 60) and second.box == Box(150, 50, 50, 50)
    assert np.array_equal(first.landmarks, found.landmarks[0])


def test_the_second_look_replaces_what_it_saw_better_and_nothing_else() -> None:
    better = [detection(0.7, 0, 0, 100, 100)]
    others = [detection(0.9, 5, 5, 100, 100), detection(0.6, 200, 200, 20, 20)]
    assert merged(better, others, 0.3) == [better[0], others[1]]
    assert merged([], others, 0.3) == others


def test_detection_does_not_depend_on_what_was_detected_before(
    detector: Detector, group_pixels: Pixels, astronaut_pixels: Pixels
) -> None:
    first = detector.detect(group_pixels)
    detector.detect(astronaut_pixels)
    again = detector.detect(group_pixels)
    assert [each.box for each in first] == [each.box for each in again]


def test_an_unknown_kind_is_named(opened_pack: Pack) -> None:
    part = DetectorPart(
        path=centerface_file(),
        sha256="",
        kind="haar",
        input_sizes=(640,),
        score_threshold=0.5,
        nms_threshold=0.3,
        licence="",
    )
    with pytest.raises(PackInvalid, match=r"haar.*centerface, scrfd, yunet"):
        open_detector(part, "cpu")


@pytest.mark.parametrize("kind", ["centerface", "yunet"])
def test_a_file_of_another_kind_is_refused(kind: str, tiny_pack: Path) -> None:
    with pytest.raises(PackInvalid, match="is not a"):
        KINDS[kind](tiny_pack / "recognizer.onnx", "cpu")


@pytest.mark.parametrize(
    ("kind", "file"),
    [("scrfd", "insightface-small/det_500m.onnx"), ("yunet", "yunet/yunet_n_dynamic.onnx")],
)
def test_other_kinds_find_the_same_faces(
    kind: str, file: str, shared_packs: Path, group_pixels: Pixels, astronaut_pixels: Pixels
) -> None:
    part = DetectorPart(
        path=shared_packs / file,
        sha256="",
        kind=kind,
        input_sizes=(640,),
        score_threshold=0.5,
        nms_threshold=0.4,
        licence="",
    )
    found = open_detector(part, "cpu")
    noses = sorted(tuple(each.landmarks[2]) for each in found.detect(group_pixels))
    assert np.abs(np.array(noses) - sorted(GROUP)).max() < 25
    assert np.abs(found.detect(astronaut_pixels)[0].landmarks[2] - ASTRONAUT).max() < 6


@pytest.mark.parametrize("error", RUN_ERRORS)
def test_a_device_that_gives_up_is_named(
    tiny_pack: Path, hanks: bytes, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """A fault that cannot be provoked here: the session of the network fails."""

    class Lost:
        def run(self, *_: object) -> None:
            raise error("CUDA failure 2: out of memory")

    detector = open_detector(read_pack(tiny_pack).detector, "cpu")
    picture = decode(hanks, ImageLimits())
    monkeypatch.setattr(detector._net, "_session", Lost())
    with pytest.raises(DeviceFailed, match="out of memory") as failure:
        detector.detect(picture)
    assert status_of(failure.value) == 503
    assert failure.value.retry_after
