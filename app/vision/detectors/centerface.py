"""CenterFace (Xu et al. 2019, arXiv:1911.03599): one heat map of face centres at stride 4."""

from pathlib import Path
from typing import Final

import cv2
import numpy as np
import onnx

from app.settings import Device
from app.types import Floats, Pixels
from app.vision.boxes import Found
from app.vision.errors import PackInvalid
from app.vision.session import give_back, open_session, read_model

STRIDE: Final = 4
OUTPUTS: Final = 4


class CenterFace:
    """Input: RGB, 0 to 255. Outputs at stride 4: centres, log sizes, offsets, landmarks."""

    coarse = 160

    def __init__(self, path: Path, device: Device) -> None:
        model = free_dimensions(read_model(path), path)
        self._session = open_session(model, device)
        self._input = self._session.get_inputs()[0].name
        self.providers = tuple(self._session.get_providers())

    def give_back(self) -> None:
        give_back(self._session)

    def find(self, canvas: Pixels, threshold: float) -> Found:
        blob = cv2.dnn.blobFromImage(canvas)
        heat, size, offset, landmarks = self._session.run(None, {self._input: blob})
        return regions(heat[0, 0], size[0], offset[0], landmarks[0], threshold)


def regions(
    heat: Floats, size: Floats, offset: Floats, landmarks: Floats, threshold: float
) -> Found:
    """Outputs of one canvas, float32[h, w] and float32[2 or 10, h, w], as regions.

    Channels come as (y, x). A size is the logarithm of a side in cells; landmarks are in units of
    the box, from its upper left corner.
    """
    rows, columns = np.nonzero(heat >= threshold)
    sides = np.exp(size[:, rows, columns]) * STRIDE
    centres = (np.stack([rows, columns]) + offset[:, rows, columns] + 0.5) * STRIDE
    corner = centres - sides / 2
    points = landmarks[:, rows, columns].reshape(5, 2, -1) * sides + corner
    return Found(
        boxes=np.concatenate([corner[::-1], (corner + sides)[::-1]]).T.astype(np.float32),
        scores=heat[rows, columns].astype(np.float32),
        landmarks=points[:, ::-1].transpose(2, 0, 1).astype(np.float32),
    )


def free_dimensions(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """`model` with the dimensions it really has.

    The published file says that its input is [10, 3, 32, 32], though the graph takes any; and it
    lists its weights among the inputs, which keeps ONNX Runtime from folding them into
    convolutions.
    """
    graph = model.graph
    weights = {each.name for each in graph.initializer}
    inputs = [each for each in graph.input if each.name not in weights]
    if len(inputs) != 1 or len(graph.output) != OUTPUTS:
        raise PackInvalid(f"{path} is not a CenterFace network: it needs 1 input and 4 outputs.")
    del graph.input[:]
    graph.input.extend(inputs)
    for tensor, names in (
        *((each, ("batch", "", "height", "width")) for each in graph.input),
        *((each, ("batch", "", "rows", "columns")) for each in graph.output),
    ):
        dimensions = tensor.type.tensor_type.shape.dim
        if len(dimensions) != 4:
            raise PackInvalid(f"{path} is not a CenterFace network: '{tensor.name}' is not NCHW.")
        for dimension, name in zip(dimensions, names, strict=True):
            if name:
                dimension.dim_param = name
    return model
