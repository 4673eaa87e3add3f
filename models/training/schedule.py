"""Learning rate and margin over a run, as functions of the share of it that is done."""

import math

from models.training.recipes import Recipe


def learning_rate_at(recipe: Recipe, progress: float) -> float:
    """Linear warm-up, then half a cosine to 0 or division by ten at each of ``steps``."""
    warm = min(1.0, (progress + 1e-3) / recipe.warm_up) if recipe.warm_up else 1.0
    if recipe.schedule == "step":
        shrunk = 0.1 ** sum(progress >= share for share in recipe.steps)
    else:
        shrunk = (1 + math.cos(math.pi * min(1.0, progress))) / 2
    return recipe.learning_rate * warm * shrunk


def margin_share_at(recipe: Recipe, progress: float) -> float:
    """The part of the margin that applies: 0, a linear rise, 1."""
    if recipe.margin_until <= recipe.margin_from:
        return 1.0 if progress >= recipe.margin_from else 0.0
    rise = (progress - recipe.margin_from) / (recipe.margin_until - recipe.margin_from)
    return min(1.0, max(0.0, rise))
