"""Plain softmax classification, the baseline of every margin loss."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.training.heads.base import Head
from models.training.heads.rows import class_rows


class Softmax(Head):
    """Cross-entropy over ``w_j · x + b_j``, nothing normalised, no margin.

    Starts at about ``ln C + (.01 |x|)² / 2``.
    """

    def __init__(self, *, dimension: int, classes: int) -> None:
        super().__init__(dimension=dimension, classes=classes)
        self.weight = class_rows(rows=classes, dimension=dimension)
        self.bias = nn.Parameter(torch.zeros(classes))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(F.linear(embeddings, self.weight, self.bias), labels)
