"""Networks from crops to embeddings, one family per file."""

from collections.abc import Callable
from functools import partial
from typing import Final

from torch import nn

from models.training.backbones.iresnet import iresnet18, iresnet34, iresnet50, iresnet100
from models.training.backbones.mobilefacenet import MobileFaceNet
from models.training.backbones.slim import ResNetSlim

BACKBONES: Final[dict[str, Callable[..., nn.Module]]] = {
    "slim": ResNetSlim,
    "slim-small": partial(ResNetSlim, widths=(24, 64, 128), depths=(1, 1, 1), stem=24),
    "slim-tiny": partial(ResNetSlim, widths=(32, 64), depths=(1, 1), shrink=2),
    "mobilefacenet": MobileFaceNet,
    "iresnet18": iresnet18,
    "iresnet34": iresnet34,
    "iresnet50": iresnet50,
    "iresnet100": iresnet100,
}
"""By name; each takes ``dimension`` and ``dropout``, a share that defaults to 0."""
