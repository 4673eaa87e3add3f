"""MagFace: the embedding's norm is trained to say how good the image is."""

from typing import Final

from torch import Tensor
from torch.nn import functional as F

from models.training.heads.base import Head
from models.training.heads.margins import add_angle, add_angle_if_acute
from models.training.heads.rows import class_rows, cosines_to, replace_targets, take_targets

LEAST_NORM: Final = 10.0
MOST_NORM: Final = 110.0


class MagFace(Head):
    """MagFace (Meng et al., CVPR 2021, https://arxiv.org/abs/2103.06627).

    Cross-entropy over ``scale * cos(θ_y + m(a))`` for the target and ``scale * cos θ_j`` for the
    others, plus ``norm_weight * g(a)``. a = |x|, taken as 10 to 110, moves m(a) from
    ``least_margin`` to ``most_margin`` radians, and g(a) = 1/a + a/110² rewards long embeddings;
    both carry gradient to the norm, none outside of 10 to 110. Needs embeddings whose norm is
    free. ``easy_margin``, on as in the authors' code, leaves targets beyond 90° alone.

    ``margin_share`` applies to m(a) and not to g(a).
    """

    def __init__(
        self,
        *,
        dimension: int,
        classes: int,
        scale: float = 64.0,
        least_margin: float = 0.45,
        most_margin: float = 0.8,
        norm_weight: float = 35.0,
        easy_margin: bool = True,
    ) -> None:
        super().__init__(dimension=dimension, classes=classes)
        self.scale = scale
        self.least_margin = least_margin
        self.most_margin = most_margin
        self.norm_weight = norm_weight
        self.turn = add_angle_if_acute if easy_margin else add_angle
        self.weight = class_rows(rows=classes, dimension=dimension)

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        norms = embeddings.norm(dim=1).clamp(LEAST_NORM, MOST_NORM)
        slope = (self.most_margin - self.least_margin) / (MOST_NORM - LEAST_NORM)
        margins = self.least_margin + slope * (norms - LEAST_NORM)
        cosines = cosines_to(self.weight, embeddings)
        targets = self.turn(take_targets(cosines, labels), self.margin_share * margins)
        logits = self.scale * replace_targets(cosines, labels, targets)
        regulariser: Tensor = self.norm_weight * (1 / norms + norms / MOST_NORM**2).mean()
        return F.cross_entropy(logits, labels) + regulariser
