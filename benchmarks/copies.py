"""Copies of a picture in which its faces are larger, smaller, cut, or hard to find; and where in
the copy each point of the picture went."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import cv2
import numpy as np

from app.types import Pixels


class Place(NamedTuple):
    """Where a picture lies in its copy: scaled first, then moved."""

    scale: float
    left: float
    top: float

    def of(self, x: float, y: float) -> tuple[float, float]:
        return x * self.scale + self.left, y * self.scale + self.top


class Copy(NamedTuple):
    """A picture made from another."""

    pixels: Pixels
    place: Place


def scaled(factor: float) -> Callable[[Pixels], Copy]:
    return lambda pixels: Copy(_resized(pixels, factor), Place(factor, 0, 0))


def filled(factor: float) -> Callable[[Pixels], Copy]:
    """The middle of a press picture, where the face is, cut from forehead to chin."""

    def copy(pixels: Pixels) -> Copy:
        height, width = pixels.shape[:2]
        left, top = round(width * 0.3), round(height * 0.27)
        cut = pixels[top : height - round(height * 0.23), left : width - left]
        return Copy(_resized(cut, factor), Place(factor, -left * factor, -top * factor))

    return copy


def padded(share: float) -> Callable[[Pixels], Copy]:
    """The picture in a larger one, of which it takes `share` of the width; grey noise around."""

    def copy(pixels: Pixels) -> Copy:
        height, width = pixels.shape[:2]
        frame = np.random.default_rng(0).integers(
            96, 160, (round(height / share), round(width / share), 3), dtype=np.uint8
        )
        left, top = (frame.shape[1] - width) * 2 // 3, (frame.shape[0] - height) // 3
        frame[top : top + height, left : left + width] = pixels
        return Copy(frame, Place(1.0, left, top))

    return copy


COPIES: Final[Mapping[str, Callable[[Pixels], Copy]]] = {
    "as it is": lambda pixels: Copy(pixels, Place(1.0, 0, 0)),
    "x0.5": scaled(0.5),
    "x2": scaled(2.0),
    "x4": scaled(4.0),
    "fills the frame": filled(1.0),
    "fills it, x6": filled(6.0),
    "padded to 1/3": padded(1 / 3),
    "padded to 1/6": padded(1 / 6),
}
OF_LFW: Final = tuple(name for name in COPIES if name != "as it is")
OF_PHOTOS: Final = {"as it is": 1.0, "x0.5": 0.25, "x2": 4.0, "padded to 1/3": 9.0}
"""Copies of photos, and how many times the pixels they have. One past what the service takes is
left out."""


def _resized(pixels: Pixels, factor: float) -> Pixels:
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    resized = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=how)
    return np.asarray(resized, dtype=np.uint8)
