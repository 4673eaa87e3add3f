"""Distillation: the embeddings of a frozen teacher as targets."""

import logging
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from app.vision.pack import hash_file
from app.vision.session import LOAD_ERRORS
from models.training.data.faces import CROP_SIZE, inner
from models.training.loader import Pictures

log = logging.getLogger(__name__)

IMAGENET_MEAN: Final = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD: Final = np.array([0.229, 0.224, 0.225], np.float32)
CHUNK: Final = 64


class Distillation(nn.Module):
    """``mean(1 - cos(P z, t))`` of embeddings z [B, D] and teacher's embeddings t [B, T].

    The linear P from the student's space into the teacher's is trained along and dropped at
    export: the student is free to lay out its own space.
    """

    def __init__(self, *, dimension: int, teacher_dimension: int) -> None:
        super().__init__()
        self.projection = nn.Linear(dimension, teacher_dimension, bias=False)

    def forward(self, embeddings: Tensor, targets: Tensor) -> Tensor:
        """Mean loss, float32."""
        projected = F.linear(embeddings.float(), self.projection.weight.float())
        return 1 - F.cosine_similarity(projected, targets).mean()


def targets_of(teacher: Path, pictures: Pictures, fingerprint: str, folder: Path) -> Tensor:
    """The teacher's embeddings of all crops, float32 [n, T], kept in ``folder`` between runs."""
    kept = folder / f"teacher-{hash_file(teacher)[:8]}-{fingerprint[:8]}.npy"
    if not kept.exists():
        log.info("embedding %d crops with the teacher, once", len(pictures.labels))
        part = kept.with_suffix(".part.npy")
        np.save(part, embed(teacher, pictures))
        part.replace(kept)
    return Tensor(np.load(kept))


def embed(teacher: Path, pictures: Pictures) -> NDArray[np.float32]:
    """Embed crops with an ONNX teacher that takes ImageNet-normalised RGB 112x112.

    The sum over the crop and its mirror image is L2-normalised: float32 [n, T]. One target for
    both views keeps the student from learning which way a face looks.

    Raises:
        ValueError: ONNX Runtime cannot run the teacher, or it takes something else.
    """
    session, name = _session(teacher)
    rows: list[NDArray[np.float32]] = []
    starts = range(0, len(pictures.labels), CHUNK)
    for start in tqdm(starts, unit="batch", disable=None, desc="teacher"):
        taken = np.arange(start, min(start + CHUNK, len(pictures.labels)))
        crops = inner(pictures.batch(taken))
        chunk = (crops.astype(np.float32) / 255 - IMAGENET_MEAN) / IMAGENET_STD
        planes = np.ascontiguousarray(chunk.transpose(0, 3, 1, 2))
        total = sum(
            np.asarray(session.run(None, {name: view})[0])
            for view in (planes, np.ascontiguousarray(planes[..., ::-1]))
        )
        rows.append(total / np.linalg.norm(total, axis=1, keepdims=True))
    return np.concatenate(rows).astype(np.float32)


def _session(teacher: Path) -> tuple[ort.InferenceSession, str]:
    """The teacher, and the name of its input."""
    try:
        session = ort.InferenceSession(teacher, providers=["CPUExecutionProvider"])
    except LOAD_ERRORS as error:
        raise ValueError(f"{teacher} cannot be run by ONNX Runtime: {error}") from None
    [taken] = session.get_inputs()
    fixed = [size if isinstance(size, int) else None for size in taken.shape[1:]]
    if len(fixed) != 3 or any(
        size not in {None, wanted}
        for size, wanted in zip(fixed, (3, CROP_SIZE, CROP_SIZE), strict=True)
    ):
        raise ValueError(f"{teacher} takes {taken.shape}: a teacher of [n, 3, 112, 112] is wanted")
    return session, taken.name
