"""YuNet (Wu et al., Machine Intelligence Research 2023), files of libfacedetection.train."""

from pathlib import Path
from typing import Final

import cv2
import numpy as np

from app.settings import Device
from app.types import Floats, Pixels
from app.vision.boxes import Found
from app.vision.errors import PackInvalid
from app.vision.session import give_back, open_session

STRIDES: Final = (8, 16, 32)
OUTPUTS: Final = tuple(
    f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in STRIDES
)


class YuNet:
    """Input: BGR, 0 to 255. Outputs at each of three strides: class, objectness, box, points."""

    coarse = 256

    def __init__(self, path: Path, device: Device) -> None:
        self._session = open_session(path, device)
        names = {each.name for each in self._session.get_outputs()}
        if missing := [name for name in OUTPUTS if name not in names]:
            raise PackInvalid(f"{path} is not a YuNet network: it has no output '{missing[0]}'.")
        self._input = self._session.get_inputs()[0].name
        self.providers = tuple(self._session.get_providers())

    def give_back(self) -> None:
        give_back(self._session)

    def find(self, canvas: Pixels, threshold: float) -> Found:
        blob = cv2.dnn.blobFromImage(canvas, swapRB=True)
        outputs = self._session.run(list(OUTPUTS), {self._input: blob})
        named = {name: output[0] for name, output in zip(OUTPUTS, outputs, strict=True)}
        levels = [
            regions(
                *(named[f"{kind}_{stride}"] for kind in ("cls", "obj", "bbox", "kps")),
                stride=stride,
                columns=canvas.shape[1] // stride,
                threshold=threshold,
            )
            for stride in STRIDES
        ]
        return Found(*(np.concatenate(parts) for parts in zip(*levels, strict=True)))


def regions(
    classes: Floats,
    objects: Floats,
    boxes: Floats,
    points: Floats,
    *,
    stride: int,
    columns: int,
    threshold: float,
) -> Found:
    """Outputs of one stride, float32[cells, 1, 1, 4 or 10], as regions in canvas pixels.

    Positions are in cells from the cell's own corner, sizes the logarithm of a side in cells. The
    score is the geometric mean of class and objectness.
    """
    scores = np.sqrt(np.clip(classes[:, 0], 0, 1) * np.clip(objects[:, 0], 0, 1))
    cells = np.flatnonzero(scores >= threshold)
    grid = np.stack([cells % columns, cells // columns], axis=1).astype(np.float32)
    centres = (grid + boxes[cells, :2]) * stride
    half = np.exp(boxes[cells, 2:]) * stride / 2
    return Found(
        boxes=np.concatenate([centres - half, centres + half], axis=1).astype(np.float32),
        scores=scores[cells].astype(np.float32),
        landmarks=((points[cells].reshape(-1, 5, 2) + grid[:, None]) * stride).astype(np.float32),
    )
