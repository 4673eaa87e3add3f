"""CosFace, the large margin cosine loss: the default of this package."""

import math
from typing import Final

from torch import Tensor

from models.training.heads.margin_head import MarginHead
from models.training.heads.margins import CosineMargin

REACHABLE: Final = 0.5
LEAST_ROOM: Final = 0.15
STEP: Final = 8


def scale_bound(classes: int, probability: float = 0.9) -> float:
    """The least scale at which a perfect embedding can have ``probability`` (CosFace).

    (C - 1) / C * ln((C - 1) p / (1 - p)), for class rows that lie as far apart as they can.
    ValueError for fewer than two classes or a probability outside of (0, 1).
    """
    if classes < 2:
        raise ValueError(f"the scale needs at least 2 classes, got {classes}")
    if not 0 < probability < 1:
        raise ValueError(f"the probability lies between 0 and 1, got {probability}")
    odds = probability / (1 - probability)
    return (classes - 1) / classes * math.log((classes - 1) * odds)


def margin_bound(classes: int, dimension: int) -> float | None:
    """The largest margin that well separated classes allow: 1 - the least possible max cosine.

    On a circle 1 - cos(2π / C); for C <= dimension + 1 the rows form a simplex, C / (C - 1).
    None for more classes: there is no closed form, only that the bound is at most 1, and below 1
    from C > 2 * dimension on.
    """
    if dimension == 2:
        return 1 - math.cos(2 * math.pi / classes)
    if classes <= dimension + 1:
        return classes / (classes - 1)
    return None


def default_scale(classes: int, margin: float) -> float:
    """The scale for a number of classes and a margin, a multiple of 8.

    Two limits, the higher one counts:

    1. The bound of the paper, ``scale_bound`` at .9: below it even a perfect embedding is never
       given 90 %. This is a lower limit for a network that is done.
    2. Reach, for a network that learns: among rows that are orthogonal to it a face has an even
       chance (p_y = 1/2) at the similarity margin + ln(C - 1) / scale. Until it gets there every
       face pulls equally hard and easy ones are not told from hard ones. Well trained mated
       similarities lie at .6 to .8 and a small data set stays lower, so .5 has to be enough,
       hence scale >= ln(C - 1) / (.5 - margin). Margins above .35 get the scale of .35.

    More than is needed only hurts: the first loss, and with it the step, grow with the scale.
    2,513 classes with margin .2 get 32; the paper's .35 on CASIA (10,575) gets the paper's 64.
    ValueError for fewer than two classes.
    """
    bound = scale_bound(classes)
    reach = math.log(classes - 1) / max(REACHABLE - margin, LEAST_ROOM)
    return float(STEP * math.ceil(max(bound, reach) / STEP))


class CosFace(MarginHead):
    """CosFace / LMCL (Wang et al., CVPR 2018, https://arxiv.org/abs/1801.09414).

    Cross-entropy over ``scale * (cos θ_y - margin)`` for the target and ``scale * cos θ_j`` for
    the other classes.

    The paper's margin of .35 with scale 64 stands on 46 images of each of 10,575 people. With 5
    to 10 images of each it stalls at the collapse, ln(C - 1) + scale * margin, so the defaults
    are .2 and, for ``scale=None``, ``default_scale``.

    ``normalise_features=False`` is the paper's ablation: a face's own length takes the place of
    the scale, so that a sharp picture may buy down its loss without coming nearer to its class.
    """

    def __init__(
        self,
        *,
        dimension: int,
        classes: int,
        scale: float | None = None,
        margin: float = 0.2,
        normalise_features: bool = True,
    ) -> None:
        super().__init__(
            dimension=dimension,
            classes=classes,
            scale=default_scale(classes, margin) if scale is None else scale,
            margin=CosineMargin(margin),
        )
        self.normalise_features = normalise_features

    def scales(self, embeddings: Tensor) -> Tensor | float:
        return self.scale if self.normalise_features else embeddings.norm(dim=1, keepdim=True)
