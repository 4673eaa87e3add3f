"""A teacher's targets are its own, are computed once, and a student may lay them out anew."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.training import distil
from models.training.data.faces import Faces
from models.training.distil import Distillation, embed, targets_of
from tests.models.people import patterned_faces

FACES = patterned_faces(7, 10, size=116)  # 70 pictures: more than one chunk
CELLS = 7


def projection(seed: int, dimension: int) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    return random.normal(size=(3 * CELLS**2, dimension)).astype(np.float32)


def write_teacher(path: Path, seed: int = 0, *, dimension: int = 6, size: int = 112) -> Path:
    """A real ONNX file: means of 7x7 cells of a crop, and a random linear map of them."""
    node = helper.make_node
    block = [size // CELLS] * 2
    nodes = [
        node("AveragePool", ["data"], ["cells"], kernel_shape=block, strides=block),
        node("Flatten", ["cells"], ["row"]),
        node("MatMul", ["row", "projection"], ["fc"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "teacher",
        [value("data", TensorProto.FLOAT, ["n", 3, size, size])],
        [value("fc", TensorProto.FLOAT, ["n", dimension])],
        [numpy_helper.from_array(projection(seed, dimension), "projection")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    return write_teacher(tmp_path / "teacher.onnx")


def naive(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """What the teacher says of one picture, block by block: float64 [6]."""
    crop = (picture[2:114, 2:114] / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    total = np.zeros(6)
    for view in (crop, crop[:, ::-1]):
        cells = [
            view[16 * y : 16 * y + 16, 16 * x : 16 * x + 16, colour].mean()
            for colour in range(3)
            for y in range(CELLS)
            for x in range(CELLS)
        ]
        total += np.array(cells) @ projection(0, 6)
    return np.asarray(total / np.linalg.norm(total))


def mirrored(faces: Faces) -> Faces:
    return Faces(
        pictures=np.ascontiguousarray(faces.pictures[:, :, ::-1]),
        labels=faces.labels,
        identities=faces.identities,
        fingerprint=faces.fingerprint,
    )


def test_targets_are_the_teachers_embeddings_of_crop_and_mirror_image(teacher: Path) -> None:
    targets = embed(teacher, FACES)
    assert targets.dtype == np.float32
    by_hand = np.array([naive(picture) for picture in FACES.pictures])
    np.testing.assert_allclose(targets, by_hand, atol=1e-5)


def test_a_face_and_its_mirror_image_have_one_target(teacher: Path) -> None:
    np.testing.assert_allclose(embed(teacher, FACES), embed(teacher, mirrored(FACES)), atol=1e-5)


def test_targets_are_computed_once_for_each_teacher_and_data(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = targets_of(teacher, FACES, "a" * 64, tmp_path)
    calls = []

    def counted(teacher: Path, pictures: Faces) -> NDArray[np.float32]:
        calls.append(teacher.name)
        return np.full((len(pictures.labels), 6), len(calls), np.float32)

    monkeypatch.setattr(distil, "embed", counted)
    assert torch.equal(targets_of(teacher, FACES, "a" * 64, tmp_path), first)
    assert calls == []
    other = write_teacher(tmp_path / "other.onnx", seed=1)
    assert targets_of(other, FACES, "a" * 64, tmp_path)[0, 0] == 1
    assert targets_of(teacher, FACES, "b" * 64, tmp_path)[0, 0] == 2
    assert targets_of(other, FACES, "a" * 64, tmp_path)[0, 0] == 1
    assert calls == ["other.onnx", "teacher.onnx"]


def test_a_run_that_was_stopped_leaves_no_targets(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(file: Path, rows: NDArray[np.float32]) -> None:
        file.write_bytes(b"half of it")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(distil.np, "save", stopped)
        with pytest.raises(KeyboardInterrupt):
            targets_of(teacher, FACES, "a" * 64, tmp_path)
    targets = targets_of(teacher, FACES, "a" * 64, tmp_path)
    np.testing.assert_array_equal(targets.numpy(), embed(teacher, FACES))


def test_a_file_that_is_no_teacher_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a network")
    with pytest.raises(ValueError, match=r"broken\.onnx cannot be run"):
        targets_of(broken, FACES, "a" * 64, tmp_path)
    large = write_teacher(tmp_path / "large.onnx", size=224)
    with pytest.raises(ValueError, match=r"large\.onnx takes .*224"):
        targets_of(large, FACES, "a" * 64, tmp_path)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.onnx"):
        targets_of(tmp_path / "nowhere.onnx", FACES, "a" * 64, tmp_path)


def test_a_student_that_equals_its_teacher_up_to_a_linear_map_loses_nothing() -> None:
    random = torch.Generator().manual_seed(0)
    student = torch.randn(16, 4, generator=random)
    distillation = Distillation(dimension=4, teacher_dimension=6)
    lengths = 0.1 + torch.rand(16, 1, generator=random)  # of teacher's embeddings: no matter
    targets = lengths * (student @ distillation.projection.weight.detach().T)
    assert distillation(student, targets).item() == pytest.approx(0, abs=1e-6)
    assert distillation(student, -targets).item() == pytest.approx(2, abs=1e-6)


def test_the_loss_and_its_gradient_are_those_of_the_formula() -> None:
    random = torch.Generator().manual_seed(1)
    student = torch.randn(8, 4, generator=random).requires_grad_()
    targets = torch.randn(8, 6, generator=random)
    distillation = Distillation(dimension=4, teacher_dimension=6)
    loss = distillation(student, targets)
    loss.backward()
    exact = student.detach().double().requires_grad_()
    matrix = distillation.projection.weight.detach().double()
    total = torch.zeros((), dtype=torch.float64)
    for row, target in zip(exact, targets.double(), strict=True):
        projected = matrix @ row
        total = total + 1 - projected @ target / (projected.norm() * target.norm())
    (total / 8).backward()
    assert loss.item() == pytest.approx(total.item() / 8, rel=1e-6)
    assert student.grad is not None and exact.grad is not None
    torch.testing.assert_close(student.grad.double(), exact.grad, rtol=1e-4, atol=1e-7)


def test_the_loss_is_float32_whatever_the_embeddings_are() -> None:
    distillation = Distillation(dimension=4, teacher_dimension=6)
    with torch.autocast("cpu", torch.bfloat16):
        loss = distillation(torch.ones(2, 4, dtype=torch.bfloat16), torch.ones(2, 6))
    assert loss.dtype == torch.float32
