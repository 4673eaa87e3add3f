"""SphereFace2: one yes-or-no question per class instead of one choice among them."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.training.heads.base import Head
from models.training.heads.rows import class_rows, cosines_to, replace_targets, take_targets


def best_bias(
    classes: int, *, scale: float, margin: float, balance: float, exponent: float
) -> float:
    """The bias that minimises the loss where all cosines are 0, as at the start of training."""
    z = balance / ((1 - balance) * (classes - 1))
    middle = 2 * math.pow(0.5, exponent) - 1
    target, other = scale * (middle - margin), scale * (middle + margin)
    root = math.sqrt((1 - z) ** 2 + 4 * z * math.exp(target - other))
    return math.log(2 * z) - other - math.log(1 - z + root)


class SphereFace2(Head):
    """SphereFace2-C (Wen et al., ICLR 2022, https://arxiv.org/abs/2108.01513).

    ``(λ/r) softplus(-r (g(cos θ_y) - m) - b) + ((1 - λ)/r) Σ_j softplus(r (g(cos θ_j) + m) + b)``
    with g(c) = 2 ((c + 1) / 2)^t - 1, which spreads out the cosines; r is ``scale``, m
    ``margin``, λ ``balance`` of the one positive against all negatives, t ``exponent``, and b
    is learnt, one for all classes (keep it out of weight decay).

    ``loss_weight`` multiplies the whole, 50 as in the authors' code: without, its gradients are
    as much smaller than those of the other heads, and so would the learning rate have to differ.
    """

    def __init__(
        self,
        *,
        dimension: int,
        classes: int,
        scale: float = 40.0,
        margin: float = 0.4,
        balance: float = 0.7,
        exponent: float = 3.0,
        loss_weight: float = 50.0,
    ) -> None:
        if exponent < 1:
            raise ValueError(f"below 1 the gradient at cosine -1 is infinite, got {exponent}")
        super().__init__(dimension=dimension, classes=classes)
        self.scale = scale
        self.margin = margin
        self.balance = balance
        self.exponent = exponent
        self.loss_weight = loss_weight
        self.weight = class_rows(rows=classes, dimension=dimension)
        bias = best_bias(classes, scale=scale, margin=margin, balance=balance, exponent=exponent)
        self.bias = nn.Parameter(torch.tensor(bias))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        cosines = cosines_to(self.weight, embeddings)
        spread = 2 * ((cosines + 1) / 2).clamp(min=0) ** self.exponent - 1
        margin = self.margin * self.margin_share
        targets = self.scale * (take_targets(spread, labels) - margin) + self.bias
        positives = self.balance * F.softplus(-targets)
        others = F.softplus(self.scale * (spread + margin) + self.bias)
        negatives = replace_targets(others, labels, torch.zeros_like(targets)).sum(dim=1)
        total = (positives + (1 - self.balance) * negatives).mean()
        return self.loss_weight / self.scale * total

    def curves(self) -> dict[str, float]:
        return {"bias": self.bias.item()}
