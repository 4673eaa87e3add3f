"""What a recipe names, built: backbone, head, optimizer, moving average."""

from collections.abc import Callable
from functools import partial
from typing import Final

import torch
from torch import Tensor, nn

from models.training.backbones import BACKBONES
from models.training.heads import HEADS
from models.training.heads.base import Head
from models.training.heads.cosface import default_scale
from models.training.heads.margins import AngularMargin, CombinedMargin, CosineMargin, Margin
from models.training.heads.partial_fc import PartialFC
from models.training.recipes import Recipe

COSFACE_MARGIN: Final = 0.2
PUBLISHED_SCALE: Final = 64.0

Weights = tuple[Tensor, ...] | list[Tensor]


def moving_average(decay: float) -> Callable[[Weights, Weights, Tensor | int], None]:
    """Exponential moving average of weights that is short at first.

    After n steps it forgets with min(decay, (1 + n) / (10 + n)): with the whole decay a run of a
    thousand steps would end with an average that still remembers its first weights.
    """

    @torch.no_grad()
    def blend(averaged: Weights, current: Weights, count: Tensor | int) -> None:
        # Stays on the device: reading the count would wait for it at every step.
        steps = torch.as_tensor(count, dtype=torch.float32, device=averaged[0].device)
        kept = ((1 + steps) / (10 + steps)).clamp(max=decay)
        for mean, value in zip(averaged, current, strict=True):
            mean.lerp_(value, (1 - kept).to(mean.dtype))

    return blend


def backbone_of(recipe: Recipe) -> nn.Module:
    """The network that the recipe names. Raises ValueError for an unknown name."""
    if recipe.backbone not in BACKBONES:
        raise ValueError(f"no backbone {recipe.backbone!r}; there are {', '.join(BACKBONES)}")
    return BACKBONES[recipe.backbone](dimension=recipe.dimension, dropout=recipe.dropout)


def head_of(recipe: Recipe, classes: int) -> Head:
    """The head that the recipe names. Raises ValueError for an unknown name or option."""
    if recipe.head not in HEADS:
        raise ValueError(f"no head {recipe.head!r}; there are {', '.join(HEADS)}")
    options = dict(recipe.head_options)
    try:
        if recipe.sample_rate:
            return sharded_head(recipe, classes, **options)
        return HEADS[recipe.head](dimension=recipe.dimension, classes=classes, **options)
    except TypeError as error:
        raise ValueError(f"head {recipe.head}: {error}") from error


def sharded_head(
    recipe: Recipe, classes: int, *, scale: float | None = None, **options: float
) -> PartialFC:
    """Partial FC with the margin and scale of the recipe's head; ``options`` are its margin's."""
    if recipe.head not in SHARDED:
        able = ", ".join(SHARDED)
        raise ValueError(f"sample_rate works with {able}, not with head {recipe.head!r}")
    if scale is None:
        wanted = options.get("margin", COSFACE_MARGIN)
        scale = default_scale(classes, wanted) if recipe.head == "cosface" else PUBLISHED_SCALE
    return PartialFC(
        dimension=recipe.dimension,
        classes=classes,
        margin=SHARDED[recipe.head](**options),
        scale=scale,
        rate=recipe.sample_rate,
    )


def _combined(m1: float = 1.0, m2: float = 0.3, m3: float = 0.2) -> CombinedMargin:
    return CombinedMargin(factor=m1, angle=m2, cosine=m3)


# Margins that work on a shard of the classes, with the options and defaults of their heads.
SHARDED: Final[dict[str, Callable[..., Margin]]] = {
    "cosface": partial(CosineMargin, margin=COSFACE_MARGIN),
    "arcface": partial(AngularMargin, margin=0.5),
    "combined": _combined,
}


def optimizer_for(recipe: Recipe, modules: list[nn.Module]) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum; no weight decay on normalisation, slopes and biases."""
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, recipe.learning_rate, momentum=recipe.momentum, nesterov=True)
