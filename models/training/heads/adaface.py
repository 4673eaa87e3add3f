"""AdaFace: the embedding's norm, as a sign of image quality, shapes the margin."""

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from models.training.heads.base import Head
from models.training.heads.margins import inside_one
from models.training.heads.ranks import mean_over_ranks
from models.training.heads.rows import class_rows, cosines_to, replace_targets, take_targets

LEAST_ANGLE: Final = 1e-3  # radians, from 0 and from π
NORMS: Final = (1e-3, 100.0)  # norms are read as lying between these
LEAST_SPREAD: Final = 1e-3  # added to the deviation, which may be 0


class AdaFace(Head):
    """AdaFace (Kim et al., CVPR 2022, https://arxiv.org/abs/2204.00964).

    Cross-entropy over ``scale * (cos(θ_y - margin * z) - margin * (1 + z))`` for the target and
    ``scale * cos θ_j`` for the others. z = concentration * (|x| - mean) / deviation, clipped to
    ±1 and detached: a short embedding (a face hard to make out) gets ArcFace's margin, an average
    one CosFace's, a long one the opposite turn and twice the subtraction. Needs embeddings whose
    norm is free.

    Mean and deviation of the norms are moving averages with the weight ``momentum`` on the
    current batch, over all ranks.
    """

    norm_mean: Tensor
    norm_deviation: Tensor

    def __init__(
        self,
        *,
        dimension: int,
        classes: int,
        scale: float = 64.0,
        margin: float = 0.4,
        concentration: float = 0.333,
        momentum: float = 0.01,
    ) -> None:
        super().__init__(dimension=dimension, classes=classes)
        self.scale = scale
        self.margin = margin
        self.concentration = concentration
        self.momentum = momentum
        self.weight = class_rows(rows=classes, dimension=dimension)
        self.register_buffer("norm_mean", torch.tensor(20.0))
        self.register_buffer("norm_deviation", torch.tensor(100.0))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        quality = self._quality(embeddings)
        cosines = cosines_to(self.weight, embeddings)
        margin = self.margin * self.margin_share
        angles = inside_one(take_targets(cosines, labels)).acos() - margin * quality
        turned = angles.clamp(LEAST_ANGLE, math.pi - LEAST_ANGLE).cos()
        targets = turned - margin * (1 + quality)
        return F.cross_entropy(self.scale * replace_targets(cosines, labels, targets), labels)

    @torch.no_grad()
    def _quality(self, embeddings: Tensor) -> Tensor:
        """z [B] in -1 to 1; in training the moving averages take this batch in first."""
        norms = embeddings.norm(dim=1).clamp(*NORMS)
        if self.training and len(norms) > 1:  # a single norm has no deviation
            current = mean_over_ranks(torch.stack([norms.mean(), norms.std()]))
            self.norm_mean.lerp_(current[0], self.momentum)
            self.norm_deviation.lerp_(current[1], self.momentum)
        z: Tensor = (norms - self.norm_mean) / (self.norm_deviation + LEAST_SPREAD)
        return z.mul(self.concentration).clamp(-1, 1)

    def curves(self) -> dict[str, float]:
        return {
            "norm mean": self.norm_mean.item(),
            "norm deviation": self.norm_deviation.item(),
        }
