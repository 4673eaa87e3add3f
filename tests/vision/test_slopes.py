"""A graph says the same in the terms that are faster."""

import copy

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from onnx import TensorProto, helper, numpy_helper

from app.types import Floats
from app.vision.slopes import without_prelu

CHANNELS = 16


def bent(slopes: Floats, channels: int = CHANNELS) -> onnx.ModelProto:
    """A convolution, a shift of its channels and PRelu with these slopes."""
    random = np.random.default_rng(0)
    weights = {
        "kernel": random.standard_normal((channels, 3, 3, 3)),
        "shift": random.standard_normal((channels, 1, 1)),
        "slopes": slopes,
    }
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "kernel"], ["wide"], pads=[1, 1, 1, 1]),
            helper.make_node("Add", ["wide", "shift"], ["moved"]),
            helper.make_node("PRelu", ["moved", "slopes"], ["y"]),
        ],
        "bent",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 20, 20])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", channels, 20, 20])],
        [numpy_helper.from_array(v.astype(np.float32), name) for name, v in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def computed(model: onnx.ModelProto) -> Floats:
    x = np.random.default_rng(1).standard_normal((2, 3, 20, 20)).astype(np.float32)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"x": x})[0])


def kinds(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@settings(max_examples=20)
@given(st.lists(st.floats(-3, 3, width=32), min_size=CHANNELS, max_size=CHANNELS), st.booleans())
def test_what_is_computed_stays(slopes: list[float], batch_axis: bool) -> None:
    shape = (1, CHANNELS, 1, 1) if batch_axis else (CHANNELS, 1, 1)
    model = bent(np.array(slopes).reshape(shape))
    rewritten = without_prelu(copy.deepcopy(model))
    onnx.checker.check_model(rewritten)
    assert "PRelu" not in kinds(rewritten)
    assert_allclose(computed(rewritten), computed(model), atol=2e-5)


@pytest.mark.parametrize(
    ("slopes", "channels"),
    [(np.full((1, 1, 1), 0.25), CHANNELS), (np.full((12, 1, 1), 0.25), 12)],
    ids=["one slope for all", "channels that make no block"],
)
def test_what_would_gain_nothing_stays_as_it_is(slopes: Floats, channels: int) -> None:
    model = bent(slopes, channels)
    assert kinds(without_prelu(copy.deepcopy(model))) == kinds(model)
