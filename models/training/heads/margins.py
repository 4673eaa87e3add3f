"""Margins: functions of the target cosine alone, for every head that compares unit vectors.

Each is called with the target cosines, float32 [B], and the share of the margin that applies (a
scalar tensor, 0 to 1), and returns what stands in their place before scaling, [B]. Gradients are
exact: autograd goes through the angle, nothing is passed straight through.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.training.heads.base import EPSILON

Margin = Callable[[Tensor, Tensor], Tensor]


def inside_one(cosines: Tensor) -> Tensor:
    """Cosines kept off ±1, where acos and the sine have no finite gradient."""
    return cosines.clamp(-1 + EPSILON, 1 - EPSILON)


def add_angle(cosines: Tensor, angle: Tensor) -> Tensor:
    """cos(θ + angle) of cos θ, falling all the way: cos θ - angle * sin(angle) beyond π.

    Past θ + angle = π the cosine rises again, so that without the second branch a network that
    puts everything opposite to its class would be paid for it.
    """
    safe = inside_one(cosines)
    turned = safe * angle.cos() - (1 - safe**2).sqrt() * angle.sin()
    return torch.where(cosines > -angle.cos(), turned, cosines - angle * angle.sin())


def add_angle_if_acute(cosines: Tensor, angle: Tensor) -> Tensor:
    """The easy margin: cos(θ + angle) where cos θ > 0, and cos θ itself elsewhere."""
    return torch.where(cosines > 0, add_angle(cosines, angle), cosines)


@dataclass(frozen=True)
class CosineMargin:
    """cos θ - margin."""

    margin: float

    def __call__(self, cosines: Tensor, share: Tensor) -> Tensor:
        return cosines - self.margin * share


@dataclass(frozen=True)
class AngularMargin:
    """cos(θ + margin), margin in radians."""

    margin: float

    def __call__(self, cosines: Tensor, share: Tensor) -> Tensor:
        return add_angle(cosines, self.margin * share)


@dataclass(frozen=True)
class EasyAngularMargin:
    """cos(θ + margin) for acute θ only, margin in radians."""

    margin: float

    def __call__(self, cosines: Tensor, share: Tensor) -> Tensor:
        return add_angle_if_acute(cosines, self.margin * share)


@dataclass(frozen=True)
class CombinedMargin:
    """cos(factor * θ + angle) - cosine.

    Where the angle passes π it goes on as cos θ minus a constant, so that it stays continuous.
    A share of it lies between no margin (1, 0, 0) and the whole.
    """

    factor: float
    angle: float
    cosine: float

    def __call__(self, cosines: Tensor, share: Tensor) -> Tensor:
        factor, angle = 1 + (self.factor - 1) * share, self.angle * share
        turned = factor * inside_one(cosines).acos() + angle
        edge = ((math.pi - angle) / factor).cos()  # the cosine at which the angle reaches π
        beyond = cosines - edge - 1
        curved = turned.clamp(max=math.pi).cos()
        return torch.where(turned < math.pi, curved, beyond) - self.cosine * share
