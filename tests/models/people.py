"""Faces for trainings that take seconds: a person is a smooth pattern, a picture a shade of it."""

import cv2
import numpy as np

from models.training.data.faces import Faces
from models.training.recipes import Recipe

SMALL = Recipe(
    name="small",
    backbone="slim-tiny",
    dimension=32,
    epochs=4,
    batch=16,
    learning_rate=0.05,
    compiled=False,
    validate_every=2,
)


def patterned_faces(people: int, pictures: int, *, size: int = 112, seed: int = 0) -> Faces:
    """``pictures`` pictures of each of ``people`` people, uint8 [n, size, size, 3]."""
    random = np.random.default_rng(seed)
    found, labels = [], []
    for person in range(people):
        coarse = random.integers(0, 256, (6, 6, 3)).astype(np.uint8)
        pattern = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC).astype(float)
        for _ in range(pictures):
            shade = pattern * random.uniform(0.8, 1.2) + random.normal(0, 12, pattern.shape)
            found.append(np.clip(shade, 0, 255).astype(np.uint8))
            labels.append(person)
    return Faces(
        pictures=np.stack(found),
        labels=np.array(labels, np.int64),
        identities=tuple(f"p{person:02d}" for person in range(people)),
        fingerprint=f"{seed:064x}",
    )
