"""Pictures to faces: what a network finds on a canvas, brought back to the picture, best first."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np

from app.settings import Device
from app.types import Box, Detection, Floats, Pixels
from app.vision.boxes import Found, ordered, overlaps, suppress
from app.vision.detectors import KINDS, Net
from app.vision.errors import DeviceFailed, PackInvalid
from app.vision.pack import DetectorPart
from app.vision.session import RUN_ERRORS

STEP: Final = 32
"""Networks halve the canvas five times, so its sides are multiples of this."""


FILLING: Final = 0.65
"""A face that takes more than this share of the picture's width or height fills it."""


SECOND: Final = 160
"""Longest side of the picture in the second look, in pixels."""


PLAIN: Final = 40
"""A face of so many pixels on the canvas has its landmarks in their places."""


SEEN: Final = 20
"""A face of so many pixels on the canvas is hardly missed, but wants a closer look."""


SURE: Final = 0.6
"""A score above which a coarse look is believed."""


SAME: Final = 0.4
"""A face in a closer look overlaps the one that was looked for by more than this."""


CLOSE: Final = 64
"""A face is looked at closely so that it is this long on the canvas, in pixels."""


AROUND: Final = 2.0
"""What is looked at closely: so many times the face's longer side."""


class Look(NamedTuple):
    """How a picture is laid on a canvas: scaled first, then moved; all in canvas pixels."""

    width: int
    height: int
    left: int
    top: int
    canvas: tuple[int, int]


class Region(NamedTuple):
    """A part of a picture, in its pixels."""

    left: int
    top: int
    right: int
    bottom: int


def around(box: Box, width: int, height: int) -> Region:
    """A face in a picture of `width` x `height`, with what is around it."""
    half = max(box.width, box.height) * AROUND / 2
    x, y = box.x + box.width / 2, box.y + box.height / 2
    return Region(
        max(0, int(x - half)),
        max(0, int(y - half)),
        min(width, math.ceil(x + half)),
        min(height, math.ceil(y + half)),
    )


def close_look(region: Region) -> Look:
    """The surroundings of a face, so small that the face is CLOSE pixels long; not blown up."""
    width, height = region.right - region.left, region.bottom - region.top
    return first_look(width, height, (round(CLOSE * AROUND),))


def first_look(width: int, height: int, sizes: Sequence[int]) -> Look:
    """The whole picture, never blown up, at the smallest of `sizes` that shrinks it least.

    `sizes` are longest sides in pixels, ascending. The canvas is as small as the picture allows:
    a portrait format costs three quarters of the square.
    """
    longest = max(width, height)
    size = next((each for each in sizes if each >= longest), sizes[-1])
    scale = min(1.0, size / longest)
    wide, high = max(1, round(width * scale)), max(1, round(height * scale))
    return Look(wide, high, 0, 0, (_up(wide), _up(high)))


def second_look(first: Look) -> Look:
    """The same small and with a rim all round, for a face that fills the picture.

    Such a face comes out about 130 pixels wide, which measured best for every kind of detector.
    """
    scale = min(1.0, SECOND / max(first.width, first.height))
    wide, high = max(1, round(first.width * scale)), max(1, round(first.height * scale))
    canvas = _up(wide * 3 // 2), _up(high * 3 // 2)
    return Look(wide, high, (canvas[0] - wide) // 2, (canvas[1] - high) // 2, canvas)


class Detector:
    """A network with its thresholds. Threads may share it."""

    def __init__(
        self, net: Net, *, sizes: Sequence[int], score_threshold: float, nms_threshold: float
    ) -> None:
        self.sizes = tuple(sorted(sizes))
        self.providers = net.providers
        self._net = net
        # Coarse looks that cost much less than the finest, coarsest first.
        self._coarse = [each for each in (net.coarse, 2 * net.coarse) if 2 * each <= self.sizes[-1]]
        self._score_threshold = score_threshold
        self.nms_threshold = nms_threshold

    def detect(self, pixels: Pixels, most: int = 0) -> list[Detection]:
        """The faces in `pixels`, uint8[H, W, 3] RGB, best first; an empty list if there are none.

        `most`: how many of the largest faces are wanted; 0 means every face, and only 1 makes
        less work. Boxes are clipped to the picture, landmarks may lie outside of it, all in its
        pixels. Raises DeviceFailed where the device gave up.
        """
        if most != 1:
            return self._every(pixels)
        for size in self._coarse:
            largest = self._largest(pixels, size)
            if largest is not None:
                return [largest]
        largest = largest_of(self._every(pixels))
        look = first_look(pixels.shape[1], pixels.shape[0], self.sizes)
        return [] if largest is None else [self._placed(largest, pixels, look)]

    def give_back(self) -> None:
        """Free the memory that runs took."""
        self._net.give_back()

    def _largest(self, pixels: Pixels, size: int) -> Detection | None:
        """The largest face by a coarse look; None where it cannot be told from that.

        A face that is large enough for the coarse look leaves none unseen that is larger.
        """
        height, width = pixels.shape[:2]
        look = first_look(width, height, (size,))
        found = largest_of(self.see(pixels, look))
        if found is None or found.score < SURE or length_on(look, found.box, width) < SEEN:
            return None
        if fills(found.box, width, height):
            return largest_of(self.see(pixels, second_look(look)))
        return self._placed(found, pixels, look)

    def _placed(self, found: Detection, pixels: Pixels, look: Look) -> Detection:
        """A face with its landmarks in their places: as a closer look shows it, where it was small
        in `look` because the picture was shrunk."""
        height, width = pixels.shape[:2]
        if look.width == width or length_on(look, found.box, width) >= PLAIN:
            return found
        region = around(found.box, width, height)
        part = pixels[region.top : region.bottom, region.left : region.right]
        closer = [moved(each, region) for each in self.see(part, close_look(region))]
        shared = overlaps(_corners([found])[0], _corners(closer))
        return closer[int(shared.argmax())] if (shared > SAME).any() else found

    def _every(self, pixels: Pixels) -> list[Detection]:
        """All faces.

        Where the first look finds nothing, or a face that fills the picture, a second, smaller one
        is taken: networks lose large faces (SCRFD) or place their landmarks badly (CenterFace: off
        by 2.7 pixels of a crop against 1.1).
        """
        height, width = pixels.shape[:2]
        look = first_look(width, height, self.sizes)
        first = self.see(pixels, look)
        if first and not any(fills(each.box, width, height) for each in first):
            return first
        return merged(self.see(pixels, second_look(look)), first, self.nms_threshold)

    def see(self, pixels: Pixels, look: Look) -> list[Detection]:
        """The faces that one look shows, best first. Raises DeviceFailed."""
        pixels = divisible(pixels, look)
        try:
            found = self._net.find(lay(pixels, look), self._score_threshold)
        except RUN_ERRORS as error:  # one picture is a batch that cannot be halved
            raise DeviceFailed(
                f"The detector's device ({self.providers[0]}) failed: {error}. If it is out of "
                "memory, give it more."
            ) from None
        found = suppress(found, self.nms_threshold)
        return ordered(detections(found, look, pixels.shape[1], pixels.shape[0]))


def open_detector(part: DetectorPart, device: Device) -> Detector:
    """The detector of a pack. Raises PackInvalid and ProviderUnavailable."""
    if part.kind not in KINDS:
        raise PackInvalid(
            f"{part.path}: detector kind '{part.kind}' is not known; known are {', '.join(KINDS)}."
        )
    return Detector(
        KINDS[part.kind](part.path, device),
        sizes=part.input_sizes,
        score_threshold=part.score_threshold,
        nms_threshold=part.nms_threshold,
    )


def lay(pixels: Pixels, look: Look) -> Pixels:
    """The canvas uint8[h, w, 3] of a look at `pixels`, black where there is no picture."""
    if (look.height, look.width) != pixels.shape[:2]:
        pixels = shrunk(pixels, look.width, look.height)
    if look.canvas == (look.width, look.height):
        return pixels
    canvas = np.zeros((look.canvas[1], look.canvas[0], 3), dtype=np.uint8)
    canvas[look.top : look.top + look.height, look.left : look.left + look.width] = pixels
    return canvas


def shrunk(pixels: Pixels, width: int, height: int) -> Pixels:
    """`pixels` at that size: halved as often as it goes, then bilinear.

    Bilinear alone would skip pixels where it shrinks by more than two, and small faces with them;
    averaging over the area (INTER_AREA) says the same, but takes seven times as long.
    """
    while pixels.shape[1] >= 2 * width and pixels.shape[0] >= 2 * height:
        half = (pixels.shape[1] // 2, pixels.shape[0] // 2)
        pixels = _image(cv2.resize(pixels, half, interpolation=cv2.INTER_AREA))
    return _image(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR))


def divisible(pixels: Pixels, look: Look) -> Pixels:
    """`pixels` less the last few rows and columns that keep it from being halved for a look.

    Of an odd side one pixel would be lost at every halving, and places would drift.
    """
    height, width = pixels.shape[:2]
    often = min(width // look.width, height // look.height).bit_length() - 1
    if often <= 0:
        return pixels
    return pixels[: height >> often << often, : width >> often << often]


def _image(pixels: object) -> Pixels:
    return np.asarray(pixels, dtype=np.uint8)


def detections(found: Found, look: Look, width: int, height: int) -> list[Detection]:
    """Regions on the canvas as faces in a picture of `width` x `height`; empty ones are dropped."""
    scale = np.array([width / look.width, height / look.height], dtype=np.float32)
    moved = np.array([look.left, look.top], dtype=np.float32)
    corners = (found.boxes.reshape(-1, 2, 2) - moved) * scale
    corners = np.clip(corners, 0, np.array([width, height], dtype=np.float32))
    landmarks = (found.landmarks - moved) * scale
    return [
        Detection(
            box=Box(float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])),
            landmarks=points.astype(np.float32),
            score=min(1.0, float(score)),
        )
        for (low, high), points, score in zip(corners, landmarks, found.scores, strict=True)
        if (high > low).all() and np.isfinite(points).all() and np.ptp(points) > 0
    ]


def merged(better: list[Detection], others: list[Detection], threshold: float) -> list[Detection]:
    """`better`, and what of `others` overlaps none of it by more than `threshold`; best first."""
    if not better:
        return others
    boxes = _corners(better)
    return ordered(
        better
        + [
            other
            for other, box in zip(others, _corners(others), strict=True)
            if (overlaps(box, boxes) <= threshold).all()
        ]
    )


def scaled(found: Detection, across: float, down: float) -> Detection:
    """A face found in a picture, in pixels of one so many times as wide and high."""
    box = found.box
    return Detection(
        Box(box.x * across, box.y * down, box.width * across, box.height * down),
        found.landmarks * np.array([across, down], dtype=np.float32),
        found.score,
    )


def moved(found: Detection, region: Region) -> Detection:
    """A face found in a region, in pixels of the whole picture."""
    box = found.box
    return Detection(
        Box(box.x + region.left, box.y + region.top, box.width, box.height),
        found.landmarks + np.array([region.left, region.top], dtype=np.float32),
        found.score,
    )


def length_on(look: Look, box: Box, width: int) -> float:
    """The longer side of a box in a picture of that width, in pixels of the canvas."""
    return max(box.width, box.height) * look.width / width


def largest_of(detections: list[Detection]) -> Detection | None:
    """The largest; the better of two that are equally large."""
    return max(detections, key=lambda each: each.box.area, default=None)


def _corners(detections: list[Detection]) -> Floats:
    """Left, top, right, bottom of each: float32[N, 4]."""
    rows = [
        (each.box.x, each.box.y, each.box.x + each.box.width, each.box.y + each.box.height)
        for each in detections
    ]
    return np.array(rows, dtype=np.float32).reshape(-1, 4)


def fills(box: Box, width: int, height: int) -> bool:
    return box.width > FILLING * width or box.height > FILLING * height


def _up(side: int) -> int:
    return -(-side // STEP) * STEP
