"""CosFace, the large margin cosine loss."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CosFace(nn.Module):  # type: ignore[misc, unused-ignore]
    """CosFace / LMCL (Wang et al., CVPR 2018, https://arxiv.org/abs/1801.09414).

    Cross-entropy over ``scale * (cos θ_y - margin)`` for the target and ``scale * cos θ_j`` for
    the other classes, with embeddings and class rows L2-normalised in float32 whatever the
    autocast state. The margin is a buffer: it is ramped during training and checkpointed.
    """

    margin: Tensor

    def __init__(self, *, dimension: int, classes: int, scale: float, margin: float) -> None:
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(classes, dimension))
        self.register_buffer("margin", torch.tensor(margin))
        nn.init.normal_(self.weight, std=0.01)

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of float [B, D] embeddings and int64 [B] labels."""
        with torch.autocast(embeddings.device.type, enabled=False):
            cosines = F.linear(F.normalize(embeddings.float()), F.normalize(self.weight.float()))
            targets = F.one_hot(labels, cosines.shape[1]).to(cosines.dtype)
            return F.cross_entropy(self.scale * (cosines - self.margin * targets), labels)
