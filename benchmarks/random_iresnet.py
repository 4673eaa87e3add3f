"""IResNet-50 with random weights as ONNX: of the real network's cost, and without its training."""

from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DEPTHS: Final = (3, 4, 14, 3)
WIDTHS: Final = (64, 128, 256, 512)
DIMENSION: Final = 512


def write_iresnet(path: Path, *, half: bool) -> Path:
    """crops float32[N, 3, 112, 112] to float32[N, 512]; with `half`, float16 in between."""
    kind = np.float16 if half else np.float32
    random = np.random.default_rng(0)
    nodes: list[onnx.NodeProto] = []
    weights: list[onnx.TensorProto] = []

    def weight(*shape: int, scale: float = 1.0) -> str:
        name = f"w{len(weights)}"
        values = (random.standard_normal(shape) * scale).astype(kind)
        weights.append(numpy_helper.from_array(values, name))
        return name

    def ones(*shape: int) -> str:
        name = f"w{len(weights)}"
        weights.append(numpy_helper.from_array(np.ones(shape, kind), name))
        return name

    def add(operator: str, *inputs: str, **attributes: object) -> str:
        out = f"t{len(nodes)}"
        nodes.append(helper.make_node(operator, list(inputs), [out], **attributes))
        return out

    def normal(x: str, width: int) -> str:
        scale, mean = ones(width), weight(width, scale=0.01)
        return add("BatchNormalization", x, scale, mean, mean, ones(width))

    def convolution(x: str, inputs: int, outputs: int, side: int, stride: int) -> str:
        kernel = weight(outputs, inputs, side, side, scale=(inputs * side * side) ** -0.5)
        edge = side // 2
        return add("Conv", x, kernel, strides=[stride] * 2, pads=[edge] * 4)

    x = add("Cast", "crops", to=TensorProto.FLOAT16) if half else add("Identity", "crops")
    x = normal(convolution(x, 3, 64, 3, 1), 64)
    x = add("PRelu", x, ones(64, 1, 1))
    inputs = 64
    for depth, width in zip(DEPTHS, WIDTHS, strict=True):
        for number in range(depth):
            stride = 2 if number == 0 else 1
            y = convolution(normal(x, inputs), inputs, width, 3, 1)
            y = add("PRelu", normal(y, width), ones(width, 1, 1))
            y = normal(convolution(y, width, width, 3, stride), width)
            if number == 0:
                x = normal(convolution(x, inputs, width, 1, stride), width)
            x, inputs = add("Add", x, y), width
    x = add("Flatten", normal(x, 512))
    x = add("Gemm", x, weight(512 * 7 * 7, DIMENSION, scale=1 / 160))
    nodes.append(helper.make_node("Cast", [x], ["embeddings"], to=TensorProto.FLOAT))
    graph = helper.make_graph(
        nodes,
        "iresnet50",
        [helper.make_tensor_value_info("crops", TensorProto.FLOAT, ["N", 3, 112, 112])],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["N", DIMENSION])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save_model(model, str(path))
    return path
