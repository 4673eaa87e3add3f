"""The crop: a face turned upright and scaled so that its five landmarks lie where they belong.

This is the alignment `arcface-112`. Training and service both call it, so that what a recognizer
learnt on is what it gets to see.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from app.types import Floats, Pixels

SIZE: Final = 112
"""Side of a crop in pixels."""

TEMPLATE: Final[NDArray[np.float64]] = np.array(
    [
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ]
)
"""Where left eye, right eye, nose, left and right mouth corner lie in a crop, in pixels."""


def similarity(landmarks: Floats) -> NDArray[np.float64]:
    """The turn, scale and shift that bring `landmarks` closest to TEMPLATE: float64[2, 3].

    `landmarks`: float32[5, 2], (x, y) in pixels. The least squares over the four parameters of
    [[a, -b, u], [b, a, v]] have a closed form (Umeyama, PAMI 1991, in the plane and without
    reflection; with points as complex numbers it is one division). Raises ValueError where the
    landmarks are all one point or not finite, for then no such transform exists.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    centre, target = points.mean(axis=0), TEMPLATE.mean(axis=0)
    (x, y), (p, q) = (points - centre).T, (TEMPLATE - target).T
    spread = float(x @ x + y @ y)
    if not spread > 1e-12 or not np.isfinite(spread):
        raise ValueError("landmarks do not span a face")
    a, b = (x @ p + y @ q) / spread, (x @ q - y @ p) / spread
    turn = np.array([[a, -b], [b, a]])
    return np.column_stack([turn, target - turn @ centre])


def align(pixels: Pixels, landmarks: Floats) -> Pixels:
    """The crop uint8[112, 112, 3] of the face with these landmarks, bilinear, black outside.

    `pixels`: uint8[H, W, 3], `landmarks`: float32[5, 2] in its pixels.

    Bilinear is the contract that recognizers are trained under. It samples four pixels whatever
    the scale, so a face of 1000 pixels comes out with aliasing; embeddings hardly feel it, and
    another filter would be another `model`.
    """
    # OpenCV inverts the matrix and samples; it addresses pixel centres by whole numbers, as the
    # landmarks do.
    return np.asarray(
        cv2.warpAffine(
            pixels,
            similarity(landmarks),
            (SIZE, SIZE),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(0, 0, 0),
        ),
        dtype=np.uint8,
    )
