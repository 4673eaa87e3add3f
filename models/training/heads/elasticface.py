"""ElasticFace: a margin that is drawn anew for every sample and step."""

from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from models.training.heads.base import Head
from models.training.heads.margins import add_angle
from models.training.heads.rows import class_rows, cosines_to, replace_targets, take_targets


def ranked(margins: Tensor, cosines: Tensor) -> Tensor:
    """The same margins [B], dealt out so that the larger the cosine [B], the smaller the margin.

    The place of each sample in the order is the inverse of the permutation that sorts; the
    authors' code takes the permutation itself, which deals at random.
    """
    places = cosines.detach().argsort(descending=True).argsort()
    return margins.sort().values[places]


class ElasticFace(Head):
    """ElasticFace (Boutros et al., CVPRW 2022, https://arxiv.org/abs/2109.09416).

    Margins come from N(margin, deviation²) by torch's global generator, in training only; in
    evaluation all are ``margin``. ``plus`` is the paper's "+": the harder a sample, the larger
    of the drawn margins it gets.
    """

    def __init__(
        self,
        *,
        dimension: int,
        classes: int,
        scale: float,
        margin: float,
        deviation: float,
        plus: bool,
    ) -> None:
        super().__init__(dimension=dimension, classes=classes)
        self.scale = scale
        self.margin = margin
        self.deviation = deviation
        self.plus = plus
        self.weight = class_rows(rows=classes, dimension=dimension)

    @abstractmethod
    def targets(self, cosines: Tensor, margins: Tensor) -> Tensor:
        """Target cosines [B] after margins [B]."""

    def margins(self, cosines: Tensor) -> Tensor:
        """One margin for each target cosine: [B]."""
        if not self.training:
            return torch.full_like(cosines, self.margin)
        drawn = self.margin + self.deviation * torch.randn_like(cosines)
        return ranked(drawn, cosines) if self.plus else drawn

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        cosines = cosines_to(self.weight, embeddings)
        before = take_targets(cosines, labels)
        targets = self.targets(before, self.margin_share * self.margins(before))
        return F.cross_entropy(self.scale * replace_targets(cosines, labels, targets), labels)


class ElasticArcFace(ElasticFace):
    """ElasticFace-Arc: cos(θ_y + m). The deviation is the paper's: .05, or .0175 for "+"."""

    def __init__(
        self,
        *,
        dimension: int,
        classes: int,
        scale: float = 64.0,
        margin: float = 0.5,
        deviation: float | None = None,
        plus: bool = False,
    ) -> None:
        published = 0.0175 if plus else 0.05
        super().__init__(
            dimension=dimension,
            classes=classes,
            scale=scale,
            margin=margin,
            deviation=published if deviation is None else deviation,
            plus=plus,
        )

    def targets(self, cosines: Tensor, margins: Tensor) -> Tensor:
        return add_angle(cosines, margins)


class ElasticCosFace(ElasticFace):
    """ElasticFace-Cos: cos θ_y - m. The deviation is the paper's: .05, or .02 for "+"."""

    def __init__(
        self,
        *,
        dimension: int,
        classes: int,
        scale: float = 64.0,
        margin: float = 0.35,
        deviation: float | None = None,
        plus: bool = False,
    ) -> None:
        published = 0.02 if plus else 0.05
        super().__init__(
            dimension=dimension,
            classes=classes,
            scale=scale,
            margin=margin,
            deviation=published if deviation is None else deviation,
            plus=plus,
        )

    def targets(self, cosines: Tensor, margins: Tensor) -> Tensor:
        return cosines - margins
