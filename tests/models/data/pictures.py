"""Small pictures in many encodings, and sources of them."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray


def picture(seed: int, size: int = 112) -> NDArray[np.uint8]:
    """Smooth colours, warmer than grey as skin is: uint8 [size, size, 3], RGB."""
    random = np.random.default_rng(seed)
    coarse = random.integers(40, 160, (7, 7, 3)) + np.array([60, 30, 0])
    return np.asarray(cv2.resize(coarse.astype(np.uint8), (size, size)), np.uint8)


def encoded(pixels: NDArray[np.uint8], extension: str = ".png") -> bytes:
    """RGB pixels as a file."""
    return bytes(cv2.imencode(extension, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))[1])


def write_people(
    folder: Path, people: int = 3, each: int = 2, *, size: int = 112, extension: str = ".png"
) -> Path:
    """``folder/pK/N.png``."""
    for person in range(people):
        place = folder / f"p{person}"
        place.mkdir(parents=True)
        for number in range(each):
            content = encoded(picture(person * each + number, size), extension)
            (place / f"{number}{extension}").write_bytes(content)
    return folder
