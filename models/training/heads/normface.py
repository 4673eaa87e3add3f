"""NormFace: softmax over scaled cosines, a margin loss without the margin."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.training.heads.base import Head
from models.training.heads.rows import class_rows, cosines_to


class NormFace(Head):
    """NormFace (Wang et al., ACM MM 2017, https://arxiv.org/abs/1704.06369).

    Cross-entropy over ``scale * cos θ_j``. The paper fixes the scale or learns it; with
    ``learn_scale`` it is a parameter that starts at ``scale``. The default of 20 is what the
    ArcFace authors report to serve better than 64 on half a million faces.
    """

    scale: Tensor

    def __init__(
        self, *, dimension: int, classes: int, scale: float = 20.0, learn_scale: bool = False
    ) -> None:
        super().__init__(dimension=dimension, classes=classes)
        self.weight = class_rows(rows=classes, dimension=dimension)
        if learn_scale:
            self.scale = nn.Parameter(torch.tensor(scale))
        else:
            self.register_buffer("scale", torch.tensor(scale))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(self.scale * cosines_to(self.weight, embeddings), labels)

    def curves(self) -> dict[str, float]:
        return {"scale": self.scale.item()}
