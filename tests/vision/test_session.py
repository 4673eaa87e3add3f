"""A session runs where it was asked to run, or there is none."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
import pytest

from app.vision.errors import PackInvalid, ProviderUnavailable
from app.vision.session import open_session, provider_options
from tests.tiny_pack import tiny_recognizer

STARTER: Final = Path(__file__).parents[2] / "models" / "packs" / "starter"


def test_a_session_on_cpu_computes() -> None:
    session = open_session(tiny_recognizer(0, 8), "cpu")
    assert session.get_providers() == ["CPUExecutionProvider"]
    crops = np.random.default_rng(0).random((2, 3, 112, 112), np.float32)
    assert session.run(None, {"crops": crops})[0].shape == (2, 8)


def test_threads_are_one_and_do_not_spin() -> None:
    options = open_session(tiny_recognizer(0, 8), "cpu").get_session_options()
    assert options.intra_op_num_threads == 1
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_only_who_meets_few_shapes_lets_cuda_measure_each() -> None:
    crops = provider_options("cuda", few_shapes=True)
    pictures = provider_options("cuda", few_shapes=False)
    assert crops["cudnn_conv_algo_search"] == "EXHAUSTIVE"
    assert pictures["cudnn_conv_algo_search"] == "HEURISTIC"
    assert crops["arena_extend_strategy"] == pictures["arena_extend_strategy"] == "kSameAsRequested"
    assert provider_options("cpu", few_shapes=True) == {}


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="CUDA is here"
)
def test_cuda_that_is_not_there_is_named_and_never_replaced_by_cpu() -> None:
    with pytest.raises(ProviderUnavailable, match=r"\[gpu\] extra") as refused:
        open_session(tiny_recognizer(0, 8), "cuda")
    assert refused.value.code == "provider_unavailable"


def test_a_session_that_slid_to_cpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that cannot be provoked here: CUDA is offered, but its driver fails to load."""
    real = onnxruntime.InferenceSession

    def slides(data: bytes, *, sess_options: object, providers: object) -> object:
        return real(data, sess_options=sess_options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    monkeypatch.setattr(onnxruntime, "InferenceSession", slides)
    with pytest.raises(ProviderUnavailable, match="took CPUExecutionProvider"):
        open_session(tiny_recognizer(0, 8), "cuda")


def test_a_graph_that_cannot_run_is_refused() -> None:
    model = tiny_recognizer(0, 8)
    model.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(PackInvalid, match="cannot be run"):
        open_session(model, "cpu")


_LARGE_LOOK: Final = """
import numpy, psutil, sys
from pathlib import Path
from app import memory
from app.vision.detect import open_detector
from app.vision.pack import read_pack

detector = open_detector(read_pack(Path(sys.argv[1])).detector, "cpu")
seen = []
for step in (lambda: detector.detect(numpy.zeros((640, 640, 3), numpy.uint8)), detector.give_back):
    step()
    memory.give_back()
    seen.append(psutil.Process().memory_info().rss)
print(*seen)
"""


def test_the_memory_of_the_largest_look_is_given_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LARGE_LOOK, STARTER], capture_output=True, text=True, check=True
    )
    after_the_look, after_it_was_given_back = map(int, done.stdout.split())
    assert after_it_was_given_back < after_the_look - 30_000_000
