"""Train a recognizer: ``python -m models.training.train --data DIR --teacher FILE --out DIR``.

The student learns identities with CosFace and a teacher's embeddings by cosine:
``w * CosFace(z) + v * (1 - cos(P z, t))``, where the linear P (student to teacher dimension) is
dropped at export.
"""

import argparse
import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from models.training.augment import normalise, random_view
from models.training.backbones.resnet_slim import ResNetSlim
from models.training.data import TRAIN_FOLDERS, VAL_FOLDERS, Faces, load_faces
from models.training.figures import pair_scores, tar_at_far
from models.training.heads.cosface import CosFace
from models.training.recipes import RECIPES, Recipe
from models.training.teacher import teacher_embeddings

log = logging.getLogger(__name__)


class Student(nn.Module):  # type: ignore[misc, unused-ignore]
    """The backbone and P, the projection into the teacher's space."""

    def __init__(self, *, dimension: int, teacher_dimension: int) -> None:
        super().__init__()
        self.backbone = ResNetSlim(dimension=dimension)
        self.projection = nn.Linear(dimension, teacher_dimension, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings [B, D] and their projections [B, T] of crops [B, 3, 112, 112]."""
        embeddings = self.backbone(x)
        return embeddings, self.projection(embeddings)


def optimizer_for(student: Student, head: CosFace, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum; no weight decay on normalisation, slopes and biases."""
    parameters = [*student.parameters(), *head.parameters()]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, recipe.learning_rate, momentum=0.9, nesterov=True)


def learning_rate_at(recipe: Recipe, progress: float) -> float:
    """Linear warm-up, then half a cosine to 0; ``progress`` is the share of the run done."""
    warm = min(1.0, (progress + 1e-3) / recipe.warm_up)
    return recipe.learning_rate * warm * (1 + math.cos(math.pi * min(1.0, progress))) / 2


def margin_at(recipe: Recipe, progress: float) -> float:
    """CosFace's margin: 0, then a linear rise, then ``recipe.margin``."""
    rise = (progress - recipe.margin_start) / (recipe.margin_end - recipe.margin_start)
    return recipe.margin * min(1.0, max(0.0, rise))


def batches(
    faces: Faces,
    order: NDArray[np.int64],
    size: int,
    random: np.random.Generator,
    gentle: Callable[[], bool],
) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    """Row numbers and augmented crops; the next batch is made while the last one trains.

    ``gentle`` is asked for every batch, see ``random_view``.
    """

    def make(first: int) -> tuple[NDArray[np.int64], Tensor]:
        rows, mild = order[first : first + size], gentle()
        views = [random_view(faces.pictures[row], random, gentle=mild) for row in rows]
        return rows, normalise(np.stack(views))

    firsts = range(0, len(order) - size + 1, size)
    with ThreadPoolExecutor(1) as pool:
        upcoming = pool.submit(make, firsts[0])
        for following in firsts[1:]:
            current, upcoming = upcoming, pool.submit(make, following)
            yield current.result()
        yield upcoming.result()


def settle_statistics(student: nn.Module, crops: NDArray[np.uint8]) -> None:
    """Recompute batch-normalisation statistics as plain means over ``crops``.

    Averaged weights never saw the running statistics that they were averaged with.
    """
    norms = [m for m in student.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    student.train()
    with torch.no_grad():
        for start in range(0, len(crops) - 255, 256):
            student(normalise(crops[start : start + 256]))
    student.eval()


def embed(student: nn.Module, crops: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """L2-normalised embeddings [n, D] and projections [n, T] of uint8 [n, 112, 112, 3]."""
    student.eval()
    with torch.no_grad():
        parts = [student(normalise(crops[i : i + 256])) for i in range(0, len(crops), 256)]
    embeddings, projections = (torch.cat(part) for part in zip(*parts, strict=True))
    return F.normalize(embeddings), F.normalize(projections)


def validate(student: nn.Module, val: dict[str, Faces]) -> dict[str, float]:
    """TAR at FAR 1e-3 over all pairs of each validation folder, of z and of P z."""
    figures: dict[str, float] = {}
    for folder, faces in val.items():
        for kind, rows in zip(("z", "Pz"), embed(student, faces.crops()), strict=True):
            mated, non_mated = pair_scores(rows.numpy(), faces.labels)
            figures[f"{folder} {kind}"] = round(tar_at_far(mated, non_mated, 1e-3).rate, 4)
    return figures


def class_centres(student: nn.Module, faces: Faces) -> Tensor:
    """Normalised mean embedding of each identity's crops: [identities, D]."""
    embeddings, _ = embed(student, faces.crops())
    sums = torch.zeros(len(faces.identities), embeddings.shape[1])
    return F.normalize(sums.index_add(0, torch.from_numpy(faces.labels), embeddings))


def phase(training: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a checkpoint's ``training`` by the one that continues it."""
    said = {key: training[key] for key in ("epochs", "minutes", "validation")}
    return {"recipe": training["recipe"]["name"], "seed": training["recipe"]["seed"], **said}


class Training:
    """What changes while training: student, head, their average and the optimizer.

    ``earlier``, a checkpoint, gives the student to start from; the head, which it lacks, then
    starts at the centres of its classes.
    """

    def __init__(
        self, recipe: Recipe, faces: Faces, targets: Tensor, earlier: dict[str, Any] | None = None
    ) -> None:
        self.recipe = recipe
        self.faces = faces
        self.targets = targets
        self.labels = torch.from_numpy(faces.labels)
        self.student = Student(dimension=recipe.dimension, teacher_dimension=targets.shape[1])
        self.student.to(memory_format=torch.channels_last)  # type: ignore[call-overload, unused-ignore]
        self.head = CosFace(
            dimension=recipe.dimension,
            classes=len(faces.identities),
            scale=recipe.scale,
            margin=0.0,
        )
        self.earlier: list[dict[str, Any]] = []
        if earlier is not None:
            self.earlier = [*earlier["training"].get("earlier", []), phase(earlier["training"])]
            self.student.load_state_dict(earlier["student"])
            self.head.weight.data.copy_(class_centres(self.student, faces))
        blend = get_ema_multi_avg_fn(recipe.ema_decay)  # type: ignore[no-untyped-call, unused-ignore]
        self.average = AveragedModel(self.student, multi_avg_fn=blend)
        self.optimizer = optimizer_for(self.student, self.head, recipe)
        self.compiled = torch.compile(self.student)
        self.start = time.monotonic()
        self.seen = 0

    @property
    def progress(self) -> float:
        """Share of the recipe's time that has passed, 0 to 1."""
        return min(1.0, (time.monotonic() - self.start) / (60 * self.recipe.minutes))

    def step(self, rows: NDArray[np.int64], views: Tensor) -> NDArray[np.float64]:
        """One step of the optimizer; total, CosFace's and the teacher's loss: float64 [3]."""
        progress = self.progress
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(self.recipe, progress)
        self.head.margin.fill_(margin_at(self.recipe, progress))
        embeddings, projections = self.compiled(views)
        identity_loss = self.head(embeddings, self.labels[rows])
        teacher_loss = 1 - F.cosine_similarity(projections, self.targets[rows]).mean()
        loss = self.recipe.cosface_weight * identity_loss
        loss = loss + self.recipe.teacher_weight * teacher_loss
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.student.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        self.average.update_parameters(self.student)
        self.seen += len(rows)
        return np.array([loss.item(), identity_loss.item(), teacher_loss.item()])

    def epoch(self, random: np.random.Generator) -> None:
        """Once through the data, or until the time is over."""
        self.student.train()
        order = random.permutation(len(self.labels))
        sums = np.zeros(3)
        parts = batches(
            *(self.faces, order, self.recipe.batch, random),
            gentle=lambda: self.progress >= self.recipe.gentle_from,
        )
        for count, (rows, views) in enumerate(parts, start=1):
            if self.progress >= 1:
                break
            sums += self.step(rows, views)
            if count % 50 == 0:
                log.info(
                    "epoch %.2f: loss %.3f cosface %.3f teacher %.3f, %.0f images/s, "
                    "%.0f minutes left",
                    *(self.seen / len(self.labels), *(sums / count)),
                    self.seen / (time.monotonic() - self.start),
                    self.recipe.minutes * (1 - self.progress),
                )

    def save(self, out: Path, validation: dict[str, float]) -> None:
        """Write the averaged student to ``checkpoint.pt``, what it is to ``training.json``."""
        training = {
            "recipe": asdict(self.recipe),
            "data_fingerprint": self.faces.fingerprint,
            "images": len(self.labels),
            "identities": len(self.faces.identities),
            "epochs": round(self.seen / len(self.labels), 2),
            "minutes": round((time.monotonic() - self.start) / 60, 1),
            "validation": validation,
            "earlier": self.earlier,
        }
        content = {"student": self.average.module.state_dict(), "training": training}
        torch.save(content, out / "checkpoint.pt")
        (out / "training.json").write_text(json.dumps(training, indent=2) + "\n")


def train(
    recipe: Recipe, data: Path, teacher: Path, out: Path, start_from: Path | None = None
) -> None:
    """Train for ``recipe.minutes``; write ``checkpoint.pt`` and ``training.json`` to ``out``.

    ``start_from`` is an earlier checkpoint to continue.
    """
    # OpenCV's own threads would fight PyTorch's over few cores.
    cv2.setNumThreads(1)
    torch.manual_seed(recipe.seed)
    random = np.random.default_rng(recipe.seed)
    out.mkdir(parents=True, exist_ok=True)
    faces = load_faces(data, TRAIN_FOLDERS)
    val = {folder: load_faces(data, [folder]) for folder in VAL_FOLDERS}
    settling = faces.crops()[random.choice(len(faces.labels), 2048, replace=False)]
    earlier = None if start_from is None else torch.load(start_from, weights_only=True)
    targets = torch.from_numpy(_targets(teacher, faces, out))
    training = Training(recipe, faces, targets, earlier)
    epochs = 0
    while training.progress < 1:
        training.epoch(random)
        epochs += 1
        average = training.average.module
        settle_statistics(average, settling)
        validation = {}
        if epochs % recipe.validate_every == 0 or training.progress >= 1:
            validation = validate(average, val)
            log.info("epoch %d: %s", epochs, validation)
        training.save(out, validation)


def _targets(teacher: Path, faces: Faces, out: Path) -> NDArray[np.float32]:
    """The teacher's embeddings of the clean crops, kept in ``out`` between trainings."""
    kept = out / f"teacher-{faces.fingerprint[:16]}.npy"
    if not kept.exists():
        log.info("embedding %d crops with the teacher", len(faces.labels))
        np.save(kept, teacher_embeddings(teacher, faces.crops()))
    return np.asarray(np.load(kept), np.float32)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of aligned faces")
    parser.add_argument("--teacher", type=Path, required=True, help="ONNX file of the teacher")
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="starter")
    parser.add_argument("--start-from", type=Path, help="checkpoint.pt to continue")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(
        RECIPES[arguments.recipe],
        arguments.data,
        arguments.teacher,
        arguments.out,
        arguments.start_from,
    )


if __name__ == "__main__":
    main()
