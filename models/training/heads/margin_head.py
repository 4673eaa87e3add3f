"""The shape that most margin losses share: one scale, one margin on the target cosine."""

from torch import Tensor
from torch.nn import functional as F

from models.training.heads.base import Head
from models.training.heads.margins import Margin
from models.training.heads.rows import class_rows, cosines_to, replace_targets, take_targets


class MarginHead(Head):
    """Cross-entropy over ``scale * margin(cos θ_y)`` and ``scale * cos θ_j`` of the others.

    ``weight`` is [classes * centres, D], the rows of a class in a block.
    """

    def __init__(
        self, *, dimension: int, classes: int, scale: float, margin: Margin, centres: int = 1
    ) -> None:
        super().__init__(dimension=dimension, classes=classes)
        self.scale = scale
        self.margin = margin
        self.weight = class_rows(rows=classes * centres, dimension=dimension)

    def cosines(self, embeddings: Tensor) -> Tensor:
        """Cosine [B, C] of every embedding with every class."""
        return cosines_to(self.weight, embeddings)

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        cosines = self.cosines(embeddings)
        targets = self.margin(take_targets(cosines, labels), self.margin_share)
        logits = self.scales(embeddings) * replace_targets(cosines, labels, targets)
        return F.cross_entropy(logits, labels)

    def scales(self, embeddings: Tensor) -> Tensor | float:
        """What the cosines are multiplied with: one number, or one a sample [B, 1]."""
        return self.scale
