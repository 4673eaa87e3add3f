"""What every head is: a loss over embeddings and labels."""

from abc import ABC, abstractmethod
from typing import Final

import torch
from torch import Tensor, nn

EPSILON: Final = 1e-5  # how close to +-1 a cosine may come before acos or sqrt sees it


class Head(nn.Module, ABC):
    """Embeddings float [B, D] (not normalised) and labels int64 [B] to a mean loss, float32.

    Everything inside runs in float32, whatever autocast does outside: bfloat16 rounds a cosine of
    0.999 to 1. All state lies in buffers, so that a checkpoint holds it.

    ``margin_share`` is the part of the margin that applies, 0 to 1: training raises it, since a
    full margin stops a network that has learnt nothing yet (see ``models.training.recipes``).
    """

    margin_share: Tensor

    def __init__(self, *, dimension: int, classes: int) -> None:
        super().__init__()
        self.dimension = dimension
        self.classes = classes
        self.register_buffer("margin_share", torch.tensor(1.0))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean loss: float32 scalar."""
        with torch.autocast(embeddings.device.type, enabled=False):
            return self.loss(embeddings.float(), labels)

    @abstractmethod
    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """The loss of float32 embeddings, outside of autocast."""

    def curves(self) -> dict[str, float]:
        """State that is worth a curve beside the loss: name to value."""
        return {}
