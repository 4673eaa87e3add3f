"""Named sets of hyper-parameters. A recipe, a seed and a data fingerprint name a training."""

from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a training except the data and the machine.

    The schedule runs over ``minutes`` of wall time, not epochs: a busy machine trains fewer
    epochs instead of ending late, and the figures say how many were done.
    """

    name: str
    seed: int
    minutes: float
    batch: int
    dimension: int
    learning_rate: float
    warm_up: float  # share of the run
    weight_decay: float
    clip_norm: float
    scale: float
    margin: float
    margin_start: float  # shares of the run between which the margin rises from 0
    margin_end: float
    cosface_weight: float
    teacher_weight: float
    ema_decay: float
    validate_every: int  # epochs
    gentle_from: float  # share of the run from which views are neither coarse nor covered


STARTER: Final = Recipe(
    name="starter",
    seed=1,
    minutes=64,
    batch=64,
    dimension=256,
    learning_rate=0.07,
    warm_up=0.03,
    weight_decay=5e-4,
    clip_norm=5.0,
    scale=32.0,
    margin=0.2,
    margin_start=0.05,
    margin_end=0.35,
    cosface_weight=0.2,
    teacher_weight=8.0,
    ema_decay=0.999,
    validate_every=3,
    gentle_from=1.0,
)

# Continues a checkpoint of STARTER, with the whole margin from the first step on.
STARTER_2: Final = replace(
    STARTER,
    name="starter-2",
    seed=2,
    minutes=32,
    learning_rate=0.04,
    warm_up=0.02,
    margin_start=-1.0,
    margin_end=0.0,
    gentle_from=0.67,
)

RECIPES: Final = {recipe.name: recipe for recipe in (STARTER, STARTER_2)}
