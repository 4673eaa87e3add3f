"""A slim dense residual network for CPUs: ours, of well-known parts."""

from collections.abc import Sequence
from typing import Final

from torch import Tensor, nn
from torch.nn import functional

SIDE: Final = 8  # pixels cut left and right: 112x96 as in CosFace, the rest is hair and wall


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., CVPR 2016), with PReLU.

    Normalisation follows every convolution, so that export folds all of it away.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.activation = nn.PReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.activation(self.body(x) + self.shortcut(x))
        return activated


class ResNetSlim(nn.Module):
    """Float [B, 3, 112, 112], RGB as (x - 127.5) / 127.5, to embeddings [B, dimension].

    1,544,768 parameters and 112.1 M multiply-adds at 256 dimensions; the sides of a crop are cut
    off. Dense convolutions at 28x28 and below use a CPU's vector units better than depthwise ones.
    The head is MobileFaceNet's (Chen et al., 2018): a linear depthwise 7x7 convolution weighs
    the places of the face, then a linear layer and batch normalisation.
    """

    def __init__(
        self,
        *,
        dimension: int,
        dropout: float = 0.0,
        widths: Sequence[int] = (32, 96, 192),
        depths: Sequence[int] = (1, 2, 2),
        stem: int = 32,
        shrink: int = 1,
    ) -> None:
        super().__init__()
        self.shrink = shrink
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem, 7, 4, 3, bias=False), nn.BatchNorm2d(stem), nn.PReLU(stem)
        )
        blocks: list[nn.Module] = []
        inputs = stem
        for width, depth in zip(widths, depths, strict=True):
            for position in range(depth):
                blocks.append(Block(inputs, width, 2 if position == 0 and blocks else 1))
                inputs = width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            nn.Conv2d(inputs, inputs, (7, 6), groups=inputs, bias=False),
            nn.BatchNorm2d(inputs),
            # In one place with Flatten, so that the names of the weights stay as they were.
            nn.Sequential(nn.Flatten(), nn.Dropout(dropout)),
            nn.Linear(inputs, dimension, bias=False),
            nn.BatchNorm1d(dimension),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = x[..., SIDE:-SIDE]
        if self.shrink > 1:
            x = functional.avg_pool2d(x, self.shrink)
        embedding: Tensor = self.head(self.blocks(self.stem(x)))
        return embedding
