"""Photos of people who do not exist, for machines that have no photos of people who do.

A person is a blend of three of the eight faces on the photos inside the ``insightface`` and
``scikit-image`` packages, with proportions and a complexion of its own. A recognizer trained on
them is good for nothing but to show that every step works.
"""

import importlib.util
import io
import math
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from app.types import Floats, ImageLimits, Pixels
from app.vision.decode import decode
from app.vision.detect import open_detector
from app.vision.pack import read_pack
from models.training.prepare import crop_with_margin

PHOTOS: Final = (
    ("insightface", "data/images/t1.jpg"),
    ("insightface", "data/images/Tom_Hanks_54745.png"),
    ("skimage", "data/astronaut.png"),
)
MARGIN: Final = 24
BLENDED: Final = 3


def invent(folder: Path, *, people: int, pictures: int, pack: Path, seed: int = 1) -> None:
    """Write ``folder/person-NNN/N.jpg``: ``pictures`` photos of each of ``people`` people.

    ``pack`` finds the faces to blend. The same numbers give the same photos; people who
    are there already are left as they are.
    """
    faces = [face.astype(np.float32) for face in packaged_faces(pack)]
    for number in tqdm(range(people), "invent", unit="person", disable=None):
        own = folder / f"person-{number:03d}"
        if (own / f"{pictures - 1}.jpg").exists():
            continue
        own.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng([seed, number])
        chosen = random.choice(len(faces), BLENDED, replace=False)
        weights = random.dirichlet(np.full(BLENDED, 0.6))
        face = sum(weight * faces[index] for weight, index in zip(weights, chosen, strict=True))
        tint = np.exp(random.normal(0, 0.12, 3)).astype(np.float32)
        stretch = np.exp(random.normal(0, 0.05, 2))
        for picture in range(pictures):
            photo = _photo(np.asarray(face * tint, np.float32), stretch, random)
            (own / f"{picture}.jpg").write_bytes(_encoded(photo))


def packaged_faces(pack: Path) -> list[Pixels]:
    """The eight faces, aligned, 160x160."""
    detector = open_detector(read_pack(pack).detector, "cpu")
    found = []
    for package, file in PHOTOS:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError(f"{package} is not installed: its photos are needed")
        path = Path(spec.submodule_search_locations[0]) / file
        pixels = decode(path.read_bytes(), ImageLimits())
        found += [
            crop_with_margin(pixels, one.landmarks, MARGIN) for one in detector.detect(pixels)
        ]
    return found


def _photo(face: Floats, stretch: NDArray[np.float64], random: np.random.Generator) -> Pixels:
    """The face somewhere on a plain ground, turned, lit and grainy."""
    size = int(random.integers(200, 280))
    turn, zoom = math.radians(random.normal(0, 6)), random.uniform(0.85, 1.1)
    a, b = zoom * math.cos(turn), zoom * math.sin(turn)
    linear = np.array([[a, -b], [b, a]]) * stretch
    middle = np.full(2, size / 2) + random.normal(0, 8, 2)
    matrix = np.column_stack([linear, middle - linear @ np.full(2, face.shape[0] / 2)])
    ground = random.uniform(40, 215, 3).astype(np.float32)
    shade = ground + np.linspace(-25, 25, size, dtype=np.float32)[:, None, None]
    photo = np.broadcast_to(shade, (size, size, 3)).copy()
    cv2.warpAffine(face, matrix, (size, size), dst=photo, borderMode=cv2.BORDER_TRANSPARENT)
    gain, lift = math.exp(random.normal(0, 0.12)), random.normal(0, 10)
    photo = photo * gain + lift + random.normal(0, 4, photo.shape)
    return np.clip(photo, 0, 255).astype(np.uint8)


def _encoded(photo: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "JPEG", quality=88)
    return file.getvalue()
