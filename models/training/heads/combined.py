"""The combined margin: SphereFace's, ArcFace's and CosFace's at once."""

from models.training.heads.margin_head import MarginHead
from models.training.heads.margins import CombinedMargin


class Combined(MarginHead):
    """Combined margin (Deng et al., CVPR 2019, https://arxiv.org/abs/1801.07698).

    Cross-entropy over ``scale * (cos(m1 θ_y + m2) - m3)`` for the target and ``scale * cos θ_j``
    for the others. The default is the paper's CM1; its CM2 is (.9, .4, .15).
    """

    def __init__(
        self,
        *,
        dimension: int,
        classes: int,
        scale: float = 64.0,
        m1: float = 1.0,
        m2: float = 0.3,
        m3: float = 0.2,
    ) -> None:
        super().__init__(
            dimension=dimension,
            classes=classes,
            scale=scale,
            margin=CombinedMargin(factor=m1, angle=m2, cosine=m3),
        )
