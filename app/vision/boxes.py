"""Arithmetic of found regions that every kind of detector shares: overlap, suppression, order."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.types import Detection, Floats

MAX_CANDIDATES: Final = 2048
"""Most regions that suppression looks at, best first: a picture made to light up every cell of a
detector costs no more than a crowd."""


class Found(NamedTuple):
    """N regions in one coordinate system of pixels.

    boxes: float32[N, 4], left, top, right, bottom. scores: float32[N]. landmarks: float32[N, 5, 2].
    """

    boxes: Floats
    scores: Floats
    landmarks: Floats

    def take(self, rows: NDArray[np.intp]) -> "Found":
        return Found(self.boxes[rows], self.scores[rows], self.landmarks[rows])


def overlaps(box: Floats, others: Floats) -> Floats:
    """Intersection over union of float32[4] with each row of float32[N, 4]: float32[N]."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    both = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - shared
    return np.asarray(shared / np.maximum(both, 1e-9), dtype=np.float32)


def ranking(found: Found) -> NDArray[np.intp]:
    """Rows best first: by score, then area, then top, then left. The same for any input order."""
    left, top, right, bottom = found.boxes.T
    area = (right - left) * (bottom - top)
    return np.lexsort((left, top, -area, -found.scores))


def suppress(found: Found, threshold: float) -> Found:
    """Greedy non-maximum suppression, best first: no two that are left overlap above `threshold`.

    Suppressing twice changes nothing, and the order of the input does not matter.
    """
    found = found.take(ranking(found)[:MAX_CANDIDATES])
    kept: list[int] = []
    rest = np.arange(len(found.scores))
    while rest.size:
        best, rest = rest[0], rest[1:]
        kept.append(int(best))
        rest = rest[overlaps(found.boxes[best], found.boxes[rest]) <= threshold]
    return found.take(np.array(kept, dtype=np.intp))


def ordered(detections: list[Detection]) -> list[Detection]:
    """Best first, in a total order: score, then area, then position from the top left."""
    return sorted(
        detections, key=lambda each: (-each.score, -each.box.area, each.box.y, each.box.x)
    )
