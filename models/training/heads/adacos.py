"""AdaCos: no margin and no scale to choose."""

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from models.training.heads.base import Head
from models.training.heads.normface import NormFace
from models.training.heads.ranks import mean_over_ranks
from models.training.heads.rows import class_rows, cosines_to, replace_targets, take_targets

MOST: Final = 2.0  # times the fixed scale


def fixed_scale(classes: int) -> float:
    """√2 * ln(C - 1); ValueError below 3 classes, where it would be 0."""
    if classes < 3:
        raise ValueError(f"AdaCos derives its scale from at least 3 classes, got {classes}")
    return math.sqrt(2) * math.log(classes - 1)


def fitted_scale(cosines: Tensor, labels: Tensor, scale: Tensor) -> Tensor:
    """The paper's next scale, from cosines [B, C], labels [B] and the last scale; detached.

    ln B_avg / cos(min(π/4, θ_med)): B_avg is the batch mean of Σ exp(scale * cos θ_j) over the
    other classes, by logsumexp, since a collapsed network makes it overflow; θ_med is the median
    angle to the target.
    """
    cosines = cosines.detach()
    targets = take_targets(cosines, labels)
    others = replace_targets(scale * cosines, labels, torch.full_like(targets, -math.inf))
    log_mean = others.flatten().logsumexp(0) - math.log(len(labels))
    median = targets.clamp(-1, 1).acos().median()
    return log_mean / median.clamp(max=math.pi / 4).cos()


class AdaCosFixed(NormFace):
    """AdaCos with the fixed scale √2 ln(C - 1), see ``AdaCos``: cross-entropy, no margin."""

    def __init__(self, *, dimension: int, classes: int) -> None:
        super().__init__(dimension=dimension, classes=classes, scale=fixed_scale(classes))


class AdaCos(Head):
    """AdaCos (Zhang et al., CVPR 2019, https://arxiv.org/abs/1905.00292), the dynamic scale.

    Cross-entropy over ``scale * cos θ_j`` without a margin. The scale starts at √2 ln(C - 1) and
    every training step sets it anew from the batch, see ``fitted_scale``.

    It stays at or below twice the fixed scale: embeddings that collapse onto one point raise it
    without end otherwise, and for dimension < 4 ln(C - 1) it has no fixed point even with random
    rows. Several ranks take the mean of their scales.
    """

    scale: Tensor

    def __init__(self, *, dimension: int, classes: int) -> None:
        super().__init__(dimension=dimension, classes=classes)
        self.weight = class_rows(rows=classes, dimension=dimension)
        self.most = MOST * fixed_scale(classes)
        self.register_buffer("scale", torch.tensor(fixed_scale(classes)))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        cosines = cosines_to(self.weight, embeddings)
        if self.training:
            self._follow(cosines, labels)
        # A copy, since autograd keeps it and the next forward writes the buffer in place.
        return F.cross_entropy(self.scale.clone() * cosines, labels)

    @torch.no_grad()
    def _follow(self, cosines: Tensor, labels: Tensor) -> None:
        fitted = mean_over_ranks(fitted_scale(cosines, labels, self.scale))
        self.scale.copy_(fitted.clamp(max=self.most))

    def curves(self) -> dict[str, float]:
        return {"scale": self.scale.item()}
