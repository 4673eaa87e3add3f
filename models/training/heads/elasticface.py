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
    of the drawn margins it gets. None stands for what the paper takes, see the subclasses.
    """

    published_margin: float
    published_deviation: float
    published_deviation_of_plus: float

    def __init__(
        self,
        *,
        dimension: int,
        classes: int,
        scale: float = 64.0,
        margin: float | None = None,
        deviation: float | None = None,
        plus: bool = False,
    ) -> None:
        super().__init__(dimension=dimension, classes=classes)
        published = self.published_deviation_of_plus if plus else self.published_deviation
        self.scale = scale
        self.margin = self.published_margin if margin is None else margin
        self.deviation = published if deviation is None else deviation
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
    """ElasticFace-Arc: cos(θ_y + m)."""

    published_margin = 0.5
    published_deviation = 0.05
    published_deviation_of_plus = 0.0175

    def targets(self, cosines: Tensor, margins: Tensor) -> Tensor:
        return add_angle(cosines, margins)


class ElasticCosFace(ElasticFace):
    """ElasticFace-Cos: cos θ_y - m."""

    published_margin = 0.35
    published_deviation = 0.05
    published_deviation_of_plus = 0.02

    def targets(self, cosines: Tensor, margins: Tensor) -> Tensor:
        return cosines - margins
