"""ArcFace, the additive angular margin, with sub-centres."""

from torch import Tensor

from models.training.heads.margin_head import MarginHead
from models.training.heads.margins import AngularMargin, EasyAngularMargin
from models.training.heads.rows import cosines_to


class ArcFace(MarginHead):
    """ArcFace (Deng et al., CVPR 2019, https://arxiv.org/abs/1801.07698).

    Cross-entropy over ``scale * cos(θ_y + margin)`` for the target and ``scale * cos θ_j`` for
    the others. ``easy_margin`` leaves targets beyond 90° alone.

    Sub-centres (Deng et al., ECCV 2020): each class has ``sub_centres`` rows and is as near as
    the nearest of them, so that wrong labels gather around a row of their own; the paper has 3."""

    def __init__(
        self,
        *,
        dimension: int,
        classes: int,
        scale: float = 64.0,
        margin: float = 0.5,
        sub_centres: int = 1,
        easy_margin: bool = False,
    ) -> None:
        if sub_centres < 1:
            raise ValueError(f"a class has 1 or more sub-centres, got {sub_centres}")
        super().__init__(
            dimension=dimension,
            classes=classes,
            scale=scale,
            margin=EasyAngularMargin(margin) if easy_margin else AngularMargin(margin),
            centres=sub_centres,
        )
        self.sub_centres = sub_centres

    def cosines(self, embeddings: Tensor) -> Tensor:
        cosines = cosines_to(self.weight, embeddings)
        return cosines.view(-1, self.classes, self.sub_centres).amax(dim=2)
