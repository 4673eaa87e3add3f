"""A backbone as an ONNX file, and proof that the file computes what the backbone does."""

import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from app.vision.errors import PackInvalid
from app.vision.pack import Contract
from app.vision.session import LOAD_ERRORS, RUN_ERRORS, open_session

log = logging.getLogger(__name__)

OPSET: Final = 18  # the least that PyTorch's exporter writes by itself
IR_VERSION: Final = 8  # the one of that opset; the exporter's own is refused by older runtimes
INPUT: Final = "input"
OUTPUT: Final = "embedding"
BATCH: Final = "batch"
CONTRACT: Final = Contract(mean=(127.5, 127.5, 127.5), std=(127.5, 127.5, 127.5))
BATCHES: Final = (1, 2, 5)  # of the parity check; a graph that fixed its batch fails at two of them
LEAST_COSINE: Final = 0.99999
MOST_RELATIVE_ERROR: Final = 1e-4


@dataclass(frozen=True, kw_only=True)
class Parity:
    """The worst that was seen between PyTorch and ONNX Runtime.

    ``relative_error`` is the length of a row's difference over the length of PyTorch's row.
    """

    cosine: float
    relative_error: float


def write_onnx(backbone: nn.Module, path: Path, *, notes: Mapping[str, str] | None = None) -> None:
    """One self-contained file: ``input`` [batch, 3, 112, 112] to raw ``embedding`` [batch, D].

    The network is put into evaluation mode, which takes dropout out and lets normalisation be
    folded. The contract and ``notes`` go into the file's metadata; where in the source a node
    came from, which the exporter notes with paths of this machine, does not.
    """
    # Its warnings are about torchvision, which nothing here needs.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    backbone.eval()
    device = next(backbone.parameters()).device
    # Two rows: of one the exporter concludes that the batch is always one.
    example = torch.zeros(2, 3, 112, 112, device=device)
    with warnings.catch_warnings():
        # PyTorch's exporter warns of itself.
        warnings.filterwarnings("ignore", r".*LeafSpec", FutureWarning)
        torch.onnx.export(
            backbone,
            (example,),
            path,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim(BATCH)},),
            opset_version=OPSET,
            external_data=False,
            dynamo=True,
            verbose=False,
        )
    model = onnx.load(path)
    model.ir_version = IR_VERSION
    _forget_sources(model.graph)
    width = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    for key, value in {**_contract_notes(width), **(notes or {})}.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def check_parity(backbone: nn.Module, path: Path, crops: Tensor) -> Parity:
    """Compare PyTorch and ONNX Runtime on prepared crops float [n >= 5, 3, 112, 112], on the CPU.

    Crops should be of real faces: noise does not reach all of a network.

    Raises:
        ValueError: they disagree, or the file does not run; it names the batch and the numbers.
    """
    if len(crops) < max(BATCHES):
        raise ValueError(f"{len(crops)} crops cannot check parity, {max(BATCHES)} are needed")
    backbone.eval()
    cosines, errors = [], []
    for size in BATCHES:
        batch = crops[:size].contiguous()
        with torch.no_grad():
            expected = backbone(batch).double()
        found = torch.from_numpy(_run(path, batch)).double()
        if found.shape != expected.shape:
            raise ValueError(
                f"{path} answers batch {size} with {tuple(found.shape)}, PyTorch with "
                f"{tuple(expected.shape)}: export it anew"
            )
        cosine = nn.functional.cosine_similarity(expected, found).min().item()
        error = ((found - expected).norm(dim=1) / expected.norm(dim=1)).max().item()
        log.info("batch %d: cosine %.8f, relative error %.1e", size, cosine, error)
        # Written so that a NaN fails too.
        if not (cosine > LEAST_COSINE and error < MOST_RELATIVE_ERROR):
            raise ValueError(
                f"{path} does not compute what the backbone does: at batch {size} cosine "
                f"{cosine:.7f} (more than {LEAST_COSINE} is wanted), relative error {error:.2e} "
                f"(less than {MOST_RELATIVE_ERROR:g})"
            )
        cosines.append(cosine)
        errors.append(error)
    return Parity(cosine=min(cosines), relative_error=max(errors))


def _run(path: Path, batch: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    try:
        answer = open_session(path, "cpu").run([OUTPUT], {INPUT: batch.numpy()})[0]
    except (PackInvalid, *LOAD_ERRORS, *RUN_ERRORS) as error:
        raise ValueError(f"{path} does not run at batch {len(batch)}: {error}") from error
    return np.asarray(answer, np.float32)


def _contract_notes(width: int) -> dict[str, str]:
    return {
        "colour": CONTRACT.colour,
        "mean": f"{CONTRACT.mean[0]:g}",
        "std": f"{CONTRACT.std[0]:g}",
        "size": "112x112",
        "alignment": CONTRACT.alignment,
        "dimension": str(width),
        "output": "raw",
        "opset": str(OPSET),
        "model_card": "MODEL_CARD.md",
    }


def _forget_sources(graph: onnx.GraphProto) -> None:
    for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")
    graph.ClearField("doc_string")
    graph.ClearField("metadata_props")
