"""CurricularFace: hard negatives weigh more as training gets on."""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.training.heads.base import Head
from models.training.heads.margins import add_angle
from models.training.heads.ranks import mean_over_ranks
from models.training.heads.rows import class_rows, cosines_to, replace_targets, take_targets


class CurricularFace(Head):
    """CurricularFace (Huang et al., CVPR 2020, https://arxiv.org/abs/2004.00288).

    Cross-entropy over ``scale * cos(θ_y + margin)`` for the target; another class that lies
    nearer than that counts as hard, ``scale * cos θ_j (t + cos θ_j)``, and the rest as
    ``scale * cos θ_j``. t is a moving average of the target cosine with the weight ``momentum``
    on the current batch (all ranks), so hard classes are eased early and stressed late.
    """

    t: Tensor

    def __init__(
        self,
        *,
        dimension: int,
        classes: int,
        scale: float = 64.0,
        margin: float = 0.5,
        momentum: float = 0.01,
    ) -> None:
        super().__init__(dimension=dimension, classes=classes)
        self.scale = scale
        self.margin = margin
        self.momentum = momentum
        self.weight = class_rows(rows=classes, dimension=dimension)
        self.register_buffer("t", torch.tensor(0.0))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        cosines = cosines_to(self.weight, embeddings)
        targets = take_targets(cosines, labels)
        if self.training:
            self._follow(targets)
        turned = add_angle(targets, self.margin * self.margin_share)
        hard = cosines > turned[:, None]
        stressed = torch.where(hard, cosines * (self.t.clone() + cosines), cosines)
        return F.cross_entropy(self.scale * replace_targets(stressed, labels, turned), labels)

    @torch.no_grad()
    def _follow(self, targets: Tensor) -> None:
        self.t.lerp_(mean_over_ranks(targets.mean()), self.momentum)

    def curves(self) -> dict[str, float]:
        return {"t": self.t.item()}
