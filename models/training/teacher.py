"""Embeddings of a frozen teacher, the targets of distillation."""

from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

IMAGENET_MEAN: Final = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD: Final = np.array([0.229, 0.224, 0.225], np.float32)


def teacher_embeddings(
    model: Path, crops: NDArray[np.uint8], batch: int = 64
) -> NDArray[np.float32]:
    """Embed uint8 [n, 112, 112, 3] RGB crops with a teacher that takes ImageNet-normalised input.

    The sum over the crop and its mirror image is L2-normalised: float32 [n, D]. One target for
    both views keeps the student from learning which way a face looks.
    """
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    rows: list[NDArray[np.float32]] = []
    for start in range(0, len(crops), batch):
        chunk = (crops[start : start + batch].astype(np.float32) / 255 - IMAGENET_MEAN) / (
            IMAGENET_STD
        )
        planes = np.ascontiguousarray(chunk.transpose(0, 3, 1, 2))
        total = sum(
            np.asarray(session.run(None, {name: view})[0])
            for view in (planes, np.ascontiguousarray(planes[..., ::-1]))
        )
        rows.append(total / np.linalg.norm(total, axis=1, keepdims=True))
    return np.concatenate(rows).astype(np.float32)
