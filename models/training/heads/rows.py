"""What heads do with class rows: draw them, compare embeddings with them, swap the targets."""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAST_NORM: Final = 1e-6  # keeps the gradient at a zero embedding finite
INITIAL_SPREAD: Final = 0.01  # the step on a row goes with 1/|row|², so this also sets its speed


def class_rows(*, rows: int, dimension: int) -> nn.Parameter:
    """Float32 [rows, dimension] drawn from N(0, .01); ValueError for fewer than two rows."""
    if rows < 2:
        raise ValueError(f"a head needs at least 2 classes to tell apart, got {rows}")
    return nn.Parameter(torch.empty(rows, dimension).normal_(std=INITIAL_SPREAD))


def unit(vectors: Tensor) -> Tensor:
    """Float [..., D] to length 1; zero stays zero."""
    return F.normalize(vectors, dim=-1, eps=LEAST_NORM)


def cosines_to(rows: Tensor, embeddings: Tensor) -> Tensor:
    """Cosines [B, C] of embeddings [B, D] with rows [C, D]; may pass ±1 by rounding."""
    return F.linear(unit(embeddings), unit(rows))


def take_targets(scores: Tensor, labels: Tensor) -> Tensor:
    """Of scores [B, C] the one of each sample's label: [B]."""
    return scores.gather(1, labels[:, None])[:, 0]


def replace_targets(scores: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """A copy of scores [B, C] with ``targets`` [B] at each sample's label."""
    return scores.scatter(1, labels[:, None], targets[:, None])
