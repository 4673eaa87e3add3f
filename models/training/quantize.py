"""Make an INT8 pack of a pack, for processors on which its recognizer is faster.

The new recognizer is a model of its own: templates of the old one are not compared with its
embeddings, and figures and calibration are not taken over. Evaluate, calibrate and finish it as
one that was trained. It is refused where it is not faster on this machine or not alike enough.
"""

import argparse
import logging
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from app.types import Floats, Pixels
from app.vision.directions import normalised
from app.vision.embed import Recognizer, prepared
from app.vision.pack import (
    CALIBRATION,
    Contract,
    RecognizerPart,
    hash_file,
    read_manifest,
    read_pack,
)
from app.vision.session import open_session
from app.vision.slopes import without_prelu
from models.training.data import open_source
from models.training.export import RECOGNIZER, detector_of, spread_crops
from models.training.finish import CARD, EVALUATION, PACK

log = logging.getLogger(__name__)

CROPS: Final = 200
ROUNDS: Final = 40
LEAST_COSINE: Final = 0.99


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The INT8 file beside the float32 one, on this machine and these crops.

    ``time``: of it, in parts of the other's, one crop and one thread, median of turns.
    ``cosine``: of the embeddings of one crop, the mean.
    """

    time: float
    cosine: float


class _Crops(CalibrationDataReader):  # type: ignore[misc]  # the library is not typed
    """Crops one at a time, as the recognizer is given them."""

    def __init__(self, name: str, crops: Pixels, contract: Contract) -> None:
        self._batches: Iterator[dict[str, Floats]] = (
            {name: prepared(crop[None], 1, contract)} for crop in crops
        )

    def get_next(self) -> dict[str, Floats] | None:
        return next(self._batches, None)


def quantize(part: RecognizerPart, crops: Pixels, out: Path) -> None:
    """Write the recognizer to ``out`` with weights (a scale a channel) and activations of 8 bits.

    Ranges of activations are those of ``crops``, uint8 [n, 112, 112, 3], RGB. Weights take 7 bits:
    without VNNI the products of 8 overflow.
    """
    with tempfile.TemporaryDirectory() as folder:
        ready, plain = Path(folder, "ready.onnx"), Path(folder, "plain.onnx")
        quant_pre_process(str(part.path), str(ready), skip_symbolic_shape=True)
        # A PRelu would stay float32, with a change of type before and after it.
        onnx.save(without_prelu(onnx.load(ready)), plain)
        quantize_static(
            str(plain),
            str(out),
            _Crops(part.input, crops, part.contract),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )


def compare(part: RecognizerPart, file: Path, crops: Pixels) -> Comparison:
    """``file`` against the recognizer that it was made of."""
    sessions = {True: open_session(file, "cpu"), False: open_session(part.path, "cpu")}
    batches = [prepared(crop[None], 1, part.contract) for crop in crops]

    def embedded(small: bool) -> Floats:
        answers = [sessions[small].run(None, {part.input: batch})[0] for batch in batches]
        return normalised(np.concatenate(answers).astype(np.float32))

    def seconds(small: bool) -> float:
        begin = time.thread_time()
        sessions[small].run(None, {part.input: batches[0]})
        return time.thread_time() - begin

    cosine = float((embedded(True) * embedded(False)).sum(axis=1).mean())
    ratios = [seconds(True) / seconds(False) for _ in range(ROUNDS)]
    return Comparison(time=statistics.median(ratios), cosine=cosine)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--pack", type=Path, required=True, help="folder of a pack of ours")
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, help="aligned faces, not those of a test"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="the new pack's folder; its name is the pack's"
    )
    parser.add_argument("--crops", type=int, default=CROPS, help="faces that ranges are taken from")
    parser.add_argument(
        "--slower-too", action="store_true", help="write it even if it is slower on this machine"
    )


def run(arguments: argparse.Namespace) -> None:
    """The command. Raises PackInvalid, ValueError and FileNotFoundError that say what is wrong."""
    source: Path = arguments.pack
    out: Path = arguments.out
    if out.resolve() == source.resolve():
        raise ValueError("--out must be another folder than --pack: both models are needed")
    pack, manifest = read_pack(source), read_manifest(source / PACK)
    data = open_source(*arguments.data)
    crops = spread_crops(data, min(arguments.crops, len(data.labels)))
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, RECOGNIZER)
        quantize(pack.recognizer, crops, made)
        found = compare(pack.recognizer, made, crops)
        _require(found, slower_too=arguments.slower_too)
        out.mkdir(parents=True, exist_ok=True)
        for stale in (EVALUATION, CALIBRATION, CARD, PACK):
            (out / stale).unlink(missing_ok=True)
        shutil.copyfile(made, out / RECOGNIZER)
    figures = {
        "of": pack.model,
        "crops": len(crops),
        "cosine": round(found.cosine, 5),
        "time": round(found.time, 2),
    }
    training = manifest.training
    written = manifest.model_copy(
        update={
            "name": out.resolve().name,
            "created": datetime.now(UTC).date().isoformat(),
            "detector": detector_of(source, out),
            "recognizer": manifest.recognizer.model_copy(
                update={"file": RECOGNIZER, "sha256": hash_file(out / RECOGNIZER)}
            ),
            "calibration_sha256": None,
            "training": {**training, "run": {**training.get("run", {}), "quantized": figures}},
        }
    )
    (out / PACK).write_text(written.model_dump_json(indent=2) + "\n", encoding="utf-8")
    Recognizer(read_pack(out).recognizer, "cpu")
    log.info("%s: evaluate and calibrate it now, then finish it", out)


def _require(found: Comparison, *, slower_too: bool) -> None:
    log.info(
        "%.2f of the time on this machine; cosine to the original %.4f", found.time, found.cosine
    )
    if found.cosine < LEAST_COSINE:
        raise ValueError(f"cosine {found.cosine:.4f} to the original, {LEAST_COSINE} is wanted")
    if found.time >= 1 and not slower_too:
        raise ValueError(
            f"it takes {found.time:.2f} times as long as the original on this machine. Keep that "
            "one, or say --slower-too"
        )
