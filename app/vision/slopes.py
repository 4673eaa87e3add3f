"""PRelu in terms that ONNX Runtime computes fast on a CPU.

Its convolutions work on blocks of channels (NCHWc), and so do Relu and Add. PRelu does not: every
one of them has the blocks undone and made anew, and is itself slow. In a MobileFaceNet that is a
third of the time.
"""

from typing import Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

from app.types import Floats

BLOCK: Final = 16
"""Channels of the largest block that any CPU is given (AVX-512); others are given 8."""


def without_prelu(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with every PRelu that has a slope a channel written as convolutions, Relu and Add.

    PRelu(x) is x where x > 0 and slope * x elsewhere, which is x + (1 - slope) * Relu(-x): as
    exact as the sum of two float32 numbers. `model` is changed and returned; what cannot be
    written so stays.
    """
    graph = model.graph
    weights = {each.name: each for each in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        slopes = _slopes(node, weights, makers)
        if slopes is None:
            nodes.append(node)
            continue
        added, tensors = _written_out(node.input[0], node.output[0], slopes)
        nodes.extend(added)
        graph.initializer.extend(tensors)
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def _slopes(
    node: onnx.NodeProto,
    weights: dict[str, onnx.TensorProto],
    makers: dict[str, onnx.NodeProto],
) -> Floats | None:
    """float32[C], where `node` is a PRelu with a slope a channel behind a convolution."""
    if node.op_type != "PRelu" or node.input[1] not in weights:
        return None
    if not _is_picture(node.input[0], weights, makers):
        return None
    slopes = numpy_helper.to_array(weights[node.input[1]])
    channels = slopes.size
    if slopes.dtype != np.float32 or slopes.shape[-3:] != (channels, 1, 1) or channels % BLOCK:
        return None
    return slopes.reshape(channels)


def _is_picture(
    name: str, weights: dict[str, onnx.TensorProto], makers: dict[str, onnx.NodeProto]
) -> bool:
    """Whether a value comes from a two-dimensional convolution, at most shifted or scaled since."""
    while (maker := makers.get(name)) is not None and maker.op_type in {
        "Add",
        "BatchNormalization",
    }:
        name = maker.input[0]
    if maker is None or maker.op_type != "Conv" or maker.input[1] not in weights:
        return False
    return len(weights[maker.input[1]].dims) == 4


def _written_out(
    x: str, y: str, slopes: Floats
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes from `x` to `y`, and their weights."""
    rest = (1 - slopes).reshape(-1, 1, 1, 1)

    def scaled(source: str, factors: Floats, result: str) -> onnx.NodeProto:
        """A convolution that sees one pixel and one channel at a time."""
        tensors.append(numpy_helper.from_array(factors.astype(np.float32), f"{result}/factors"))
        return helper.make_node(
            "Conv",
            [source, f"{result}/factors"],
            [result],
            group=len(slopes),
            kernel_shape=[1, 1],
        )

    tensors: list[onnx.TensorProto] = []
    below, bent = f"{y}/below", f"{y}/bent"
    if (rest >= 0).all():
        # The factor may then be drawn under the Relu, which costs nothing behind a convolution.
        nodes = [
            scaled(x, -rest, below),
            helper.make_node("Relu", [below], [bent]),
        ]
    else:
        nodes = [
            scaled(x, -np.ones_like(rest), below),
            helper.make_node("Relu", [below], [f"{y}/positive"]),
            scaled(f"{y}/positive", rest, bent),
        ]
    return [*nodes, helper.make_node("Add", [x, bent], [y])], tensors
