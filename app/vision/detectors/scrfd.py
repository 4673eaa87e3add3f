"""SCRFD (Guo et al., ICLR 2022, arXiv:2105.04714), decoded by the insightface library."""

from pathlib import Path

import cv2
import insightface.model_zoo.scrfd as library
import numpy as np

from app.settings import Device
from app.types import Pixels
from app.vision.boxes import Found
from app.vision.errors import PackInvalid
from app.vision.session import give_back, open_session


class Scrfd:
    """InsightFace's `det_*.onnx` and `scrfd_*.onnx` files with five landmarks."""

    coarse = 256

    def __init__(self, path: Path, device: Device) -> None:
        self._session = session = open_session(path, device)
        # Left to itself the library makes a further session for every canvas it meets.
        self._model = library.SCRFD(
            model_file=str(path), session=session, static_shape_sessions=False
        )
        if not self._model.use_kps:
            raise PackInvalid(f"{path} finds no landmarks; take an SCRFD file with 'kps' outputs.")
        self.providers = tuple(session.get_providers())

    def give_back(self) -> None:
        give_back(self._session)

    def find(self, canvas: Pixels, threshold: float) -> Found:
        # The library thinks in BGR.
        scores, boxes, points = self._model.forward(
            cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR), threshold
        )
        return Found(
            boxes=np.concatenate(boxes).astype(np.float32),
            scores=np.concatenate(scores).astype(np.float32).reshape(-1),
            landmarks=np.concatenate(points).astype(np.float32),
        )
