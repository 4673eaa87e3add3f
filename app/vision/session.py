"""The one place that makes ONNX Runtime sessions."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

# Read when the library is loaded: else it keeps a database in the user's home, with threads for it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from app.settings import Device
from app.vision.errors import PackInvalid, ProviderUnavailable
from app.vision.slopes import without_prelu

log = logging.getLogger(__name__)

PROVIDERS: Final[Mapping[Device, str]] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
}

SMALLEST: Final = 32
"""Pixels of a side where a network takes any size: detectors halve it five times."""

# ONNX Runtime's exceptions share no base but Exception, so they are named one by one.
LOAD_ERRORS: Final = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)
RUN_ERRORS: Final = (
    ort_errors.DeviceReset,
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.RuntimeException,
)


def read_model(path: Path) -> onnx.ModelProto:
    """The graph in `path`, self-contained. Raises PackInvalid for anything else.

    A file with external data would read other files at a path of its own choosing, and its hash
    would say nothing about its weights.
    """
    try:
        model = onnx.load_model(str(path), load_external_data=False)
    except OSError as error:
        raise PackInvalid(f"{path} cannot be read: {error.strerror}.") from None
    except DecodeError:
        raise PackInvalid(f"{path} is no ONNX file, or is damaged. Fetch it again.") from None
    if not model.HasField("graph") or not model.graph.node:
        raise PackInvalid(f"{path} holds no ONNX graph. Fetch it again.")
    if _has_external_data(model.graph):
        raise PackInvalid(
            f"{path} keeps its weights in another file. Export it as one self-contained file."
        )
    return model


def provider_options(device: Device, *, few_shapes: bool) -> dict[str, str]:
    """What ONNX Runtime's provider for `device` is told.

    `few_shapes`: whether all shapes that the network will meet are run once at the start.
    """
    if device == "cpu":
        return {}
    return {
        # Grow by what is asked: the default doubles, and two sessions then hold four times what
        # they use.
        "arena_extend_strategy": "kSameAsRequested",
        # EXHAUSTIVE finds the fastest convolution, but measures every new shape for seconds.
        "cudnn_conv_algo_search": "EXHAUSTIVE" if few_shapes else "HEURISTIC",
        "do_copy_in_default_stream": "1",
    }


def open_session(
    model: Path | onnx.ModelProto, device: Device, *, few_shapes: bool = False
) -> onnxruntime.InferenceSession:
    """A session for `model`, a file or its graph, that runs on `device` or does not exist.

    `few_shapes` is as in `provider_options`. Threads may share it. On CPU it computes in the
    calling thread alone: measured, a second intra-op thread loses where several images are in
    flight. Raises PackInvalid for a file that cannot be run and ProviderUnavailable where ONNX
    Runtime took another provider.
    """
    name = str(model) if isinstance(model, Path) else "The model"
    graph = read_model(model) if isinstance(model, Path) else model
    if device == "cpu":
        graph = without_prelu(graph)
    provider = PROVIDERS[device]
    _require(provider)
    onnxruntime.disable_telemetry_events()
    if device == "cuda":
        # Finds the CUDA libraries that pip installed as wheels.
        onnxruntime.preload_dlls()
    try:
        session = onnxruntime.InferenceSession(
            graph.SerializeToString(),
            sess_options=_options(),
            providers=[(provider, provider_options(device, few_shapes=few_shapes))],
        )
    except LOAD_ERRORS as error:
        raise PackInvalid(f"{name} cannot be run by ONNX Runtime: {error}") from None
    session.disable_fallback()
    got = session.get_providers()
    if got[0] != provider:
        raise ProviderUnavailable(
            f"{provider} was asked for, ONNX Runtime took {got[0]}. Check that the NVIDIA driver "
            "is visible (nvidia-smi) and that its CUDA and cuDNN libraries match onnxruntime-gpu; "
            "or set ROLLCALL_DEVICE=cpu.",
            asked=provider,
            got=got,
        )
    return session


def give_back(session: onnxruntime.InferenceSession) -> None:
    """Free the memory that a session's runs took; the next ones take what they need.

    ONNX Runtime keeps what its largest run ever needed. On a CPU that is worth giving back; what a
    GPU holds is nobody else's. Runs the smallest input once.
    """
    if session.get_providers() != [PROVIDERS["cpu"]]:
        return
    [asked, *_] = session.get_inputs()
    smallest = [1, *(each if isinstance(each, int) else SMALLEST for each in asked.shape[1:])]
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    session.run(None, {asked.name: np.zeros(smallest, np.float32)}, options)


def _require(provider: str) -> None:
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise ProviderUnavailable(
            f"{provider} is not in this build of ONNX Runtime (it has {', '.join(available)}). "
            "Install the [gpu] extra instead of [cpu], or set ROLLCALL_DEVICE=cpu.",
            asked=provider,
            available=available,
        )


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # Shapes differ from picture to picture: a pattern a shape would be kept for nothing.
    options.enable_mem_pattern = False
    # Detectors declare output shapes for one input size; a warning a run would follow.
    options.log_severity_level = 3
    return options


def _has_external_data(graph: onnx.GraphProto) -> bool:
    tensors = list(graph.initializer)
    for sparse in graph.sparse_initializer:
        tensors += [sparse.values, sparse.indices]
    for node in graph.node:
        for attribute in node.attribute:
            tensors += [attribute.t, *attribute.tensors]
            if any(_has_external_data(inner) for inner in (attribute.g, *attribute.graphs)):
                return True
    return any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors)
