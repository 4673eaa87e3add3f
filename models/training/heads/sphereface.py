"""SphereFace, the first angular margin: A-Softmax."""

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from models.training.heads.base import Head
from models.training.heads.rows import (
    LEAST_NORM,
    class_rows,
    replace_targets,
    take_targets,
    unit,
)

LAMBDA_START: Final = 1000.0
LAMBDA_END: Final = 5.0
LAMBDA_FALL: Final = 0.12


def multiple_angle(cosines: Tensor, multiple: int) -> Tensor:
    """cos(m θ) of cos θ by Chebyshev's recursion: no acos, so no bad gradient at ±1."""
    before, current = torch.ones_like(cosines), cosines
    for _ in range(multiple - 1):
        before, current = current, 2 * cosines * current - before
    return current


def falling_multiple_angle(cosines: Tensor, multiple: int) -> Tensor:
    """ψ(θ) = (-1)^k cos(m θ) - 2k for θ in [kπ/m, (k+1)π/m]: cos(m θ) that falls from 1 on."""
    angles = cosines.detach().clamp(-1, 1).acos()
    k = (angles * multiple / math.pi).floor().clamp(max=multiple - 1)
    return (1 - 2 * (k % 2)) * multiple_angle(cosines, multiple) - 2 * k


class SphereFace(Head):
    """A-Softmax (Liu et al., CVPR 2017, https://arxiv.org/abs/1704.08063).

    Cross-entropy over ``|x| (λ cos θ_y + ψ(θ_y)) / (1 + λ)`` for the target and ``|x| cos θ_j``
    for the others; only the class rows are normalised. λ = max(5, 1000 / (1 + .12 n)) after n
    training steps lets the margin in slowly: m = 4 does not start from scratch without. n is a
    buffer, since a resumed run at λ = 1000 would unlearn.

    ``margin_share`` multiplies what the target loses to the margin, on top of λ.
    """

    step: Tensor

    def __init__(self, *, dimension: int, classes: int, multiple: int = 4) -> None:
        if multiple < 1:
            raise ValueError(f"the angle is multiplied by 1 or more, got {multiple}")
        super().__init__(dimension=dimension, classes=classes)
        self.multiple = multiple
        self.weight = class_rows(rows=classes, dimension=dimension)
        self.register_buffer("step", torch.tensor(0, dtype=torch.int64))

    def annealing(self) -> Tensor:
        """λ as it stands: float32 scalar."""
        return (LAMBDA_START / (1 + LAMBDA_FALL * self.step.float())).clamp(min=LAMBDA_END)

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        logits = F.linear(embeddings, unit(self.weight))
        norms = embeddings.norm(dim=1)
        cosines = take_targets(logits, labels) / norms.clamp(min=LEAST_NORM)
        lost = cosines - falling_multiple_angle(cosines, self.multiple)
        targets = norms * (cosines - self.margin_share * lost / (1 + self.annealing()))
        if self.training:
            self.step += 1
        return F.cross_entropy(replace_targets(logits, labels, targets), labels)

    def curves(self) -> dict[str, float]:
        return {"lambda": self.annealing().item()}
