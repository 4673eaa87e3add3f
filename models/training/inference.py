"""A backbone at work: embeddings, statistics and validation."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from models.training.augment import normalise
from models.training.data.faces import Faces, inner
from models.training.evaluation.figures import pair_scores, tar_at_far
from models.training.loader import Pictures

FAR: Final = 1e-3


def settle_statistics(
    backbone: nn.Module, crops: NDArray[np.uint8], device: torch.device, chunk: int = 256
) -> None:
    """Recompute batch-normalisation statistics as plain means over uint8 [n, 112, 112, 3]."""
    norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    # Nothing but these: dropout would thin out what the statistics are of.
    backbone.eval()
    for norm in norms:
        norm.train()
    with torch.no_grad():
        for part in np.array_split(crops, max(1, len(crops) // chunk)):
            backbone(normalise(torch.from_numpy(part).to(device)))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    backbone.eval()


def embed(backbone: nn.Module, data: Pictures, device: torch.device, chunk: int = 256) -> Tensor:
    """L2-normalised embeddings of all crops, float32 [n, D] on the host."""
    backbone.eval()
    parts = []
    with torch.no_grad():
        for start in range(0, len(data.labels), chunk):
            rows = np.arange(start, min(start + chunk, len(data.labels)))
            crops = torch.from_numpy(inner(data.batch(rows))).to(device)
            parts.append(F.normalize(backbone(normalise(crops))).cpu())
    return torch.cat(parts)


def validate(backbone: nn.Module, sets: dict[str, Faces], device: torch.device) -> dict[str, float]:
    """TAR at FAR 1e-3 over all pairs of each validation set, by its name.

    A set of fewer than 1,000 non-mated pairs is judged at the FAR of one of them.
    """
    figures = {}
    for name, faces in sets.items():
        rows = embed(backbone, faces, device).numpy()
        mated, non_mated = pair_scores(rows, faces.labels)
        figures[name] = round(tar_at_far(mated, non_mated, max(FAR, 1 / len(non_mated))).rate, 4)
    return figures
