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
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from models.training.augment import normalise, random_views
from models.training.backbones.resnet_slim import ResNetSlim
from models.training.data import TRAIN_FOLDERS, VAL_FOLDERS, Faces, load_faces
from models.training.figures import pair_scores, tar_at_far
from models.training.heads.cosface import CosFace
from models.training.recipes import RECIPES, Recipe
from models.training.teacher import teacher_embeddings

log = logging.getLogger(__name__)


class Student(nn.Module):
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


@torch.no_grad()
def settle_statistics(student: nn.Module, crops: NDArray[np.uint8]) -> None:
    """Recompute batch-normalisation statistics as plain means over ``crops``.

    Averaged weights never saw the running statistics that they were averaged with.
    """
    norms = [m for m in student.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    student.train()
    for start in range(0, len(crops) - 255, 256):
        student(normalise(crops[start : start + 256]))
    student.eval()


@torch.no_grad()
def embed(student: nn.Module, crops: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
    """L2-normalised embeddings [n, D] and projections [n, T] of uint8 [n, 112, 112, 3]."""
    student.eval()
    parts = [student(normalise(crops[i : i + 256])) for i in range(0, len(crops), 256)]
    embeddings, projections = (torch.cat(part) for part in zip(*parts, strict=True))
    return F.normalize(embeddings), F.normalize(projections)


def validate(student: nn.Module, val: dict[str, Faces]) -> dict[str, float]:
    """TAR at FAR 1e-3 over all pairs of each validation folder, of z and of P z."""
    figures: dict[str, float] = {}
    for folder, faces in val.items():
        for kind, rows in zip(("z", "Pz"), embed(student, faces.crops()), strict=True):
            mated, non_mated = pair_scores(rows.numpy(), faces.labels)
            figures[f"{folder} {kind}"] = tar_at_far(mated, non_mated, 1e-3).rate
    return figures


def train(recipe: Recipe, data: Path, teacher: Path, out: Path) -> None:
    """Train for ``recipe.minutes``; write ``checkpoint.pt`` and ``training.json`` to ``out``."""
    torch.manual_seed(recipe.seed)
    random = np.random.default_rng(recipe.seed)
    out.mkdir(parents=True, exist_ok=True)
    faces = load_faces(data, TRAIN_FOLDERS)
    val = {folder: load_faces(data, [folder]) for folder in VAL_FOLDERS}
    targets = torch.from_numpy(_targets(teacher, faces, out))
    student = Student(dimension=recipe.dimension, teacher_dimension=targets.shape[1])
    student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    head = CosFace(
        dimension=recipe.dimension, classes=len(faces.identities), scale=recipe.scale, margin=0.0
    )
    average = AveragedModel(student, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema_decay))
    optimizer = optimizer_for(student, head, recipe)
    compiled = torch.compile(student)
    labels = torch.from_numpy(faces.labels)
    settling = faces.crops()[random.choice(len(labels), 2048, replace=False)]

    start = time.monotonic()
    progress, epoch, done = 0.0, 0, 0
    while progress < 1:
        student.train()
        order = random.permutation(len(labels))
        sums = np.zeros(3)
        steps = 0
        for first in range(0, len(order) - recipe.batch + 1, recipe.batch):
            progress = (time.monotonic() - start) / (60 * recipe.minutes)
            if progress >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = learning_rate_at(recipe, progress)
            head.margin.fill_(margin_at(recipe, progress))
            rows = order[first : first + recipe.batch]
            views = random_views(faces.pictures[rows], random)
            embeddings, projections = compiled(views.contiguous(memory_format=torch.channels_last))
            identity_loss = head(embeddings, labels[rows])
            teacher_loss = 1 - F.cosine_similarity(projections, targets[rows]).mean()
            loss = recipe.cosface_weight * identity_loss + recipe.teacher_weight * teacher_loss
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(student.parameters(), recipe.clip_norm)
            optimizer.step()
            average.update_parameters(student)
            sums += [loss.item(), identity_loss.item(), teacher_loss.item()]
            steps += 1
            done += len(rows)
            if steps % 50 == 0:
                speed = done / (time.monotonic() - start)
                log.info(
                    "epoch %d step %d: loss %.3f cosface %.3f teacher %.3f, %.0f images/s, "
                    "%.0f minutes left",
                    *(epoch + 1, steps, *(sums / steps), speed, recipe.minutes * (1 - progress)),
                )
        epoch += 1
        settle_statistics(average.module, settling)
        figures = {}
        if epoch % recipe.validate_every == 0 or progress >= 1:
            figures = validate(average.module, val)
            log.info("epoch %d: %s", epoch, figures)
        training = {
            "recipe": asdict(recipe),
            "data_fingerprint": faces.fingerprint,
            "images": len(labels),
            "identities": len(faces.identities),
            "epochs": round(done / len(labels), 2),
            "minutes": round((time.monotonic() - start) / 60, 1),
            "validation": figures,
        }
        torch.save(
            {"student": average.module.state_dict(), "training": training}, out / "checkpoint.pt"
        )
        (out / "training.json").write_text(json.dumps(training, indent=2) + "\n")


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
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    train(RECIPES[arguments.recipe], arguments.data, arguments.teacher, arguments.out)


if __name__ == "__main__":
    main()
