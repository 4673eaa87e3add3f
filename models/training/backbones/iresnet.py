"""IResNet: the residual networks of the ArcFace papers.

Deng et al., "ArcFace" (CVPR 2019), section 3.1: residual units with normalisation before the first
convolution and no activation after the sum, a first stage at full width, and tail "E". Epsilons,
initialisation and the frozen gamma are those of InsightFace's PyTorch code, so that the counts
are too. Ports from MXNet use epsilon 2e-5: weights of one are slightly wrong in the other.
"""

from collections.abc import Sequence
from typing import Final

from torch import Tensor, nn

EPSILON: Final = 1e-5
WIDTHS: Final = (64, 128, 256, 512)
CELLS: Final = 7 * 7  # what is left of 112x112 after four strides of 2


class Block(nn.Module):
    """BN, 3x3, BN, PReLU, 3x3 with the stride, BN, and a shortcut; linear after the sum."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(inputs, eps=EPSILON),
            nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs, eps=EPSILON),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs, eps=EPSILON),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                nn.BatchNorm2d(outputs, eps=EPSILON),
            )

    def forward(self, x: Tensor) -> Tensor:
        summed: Tensor = self.body(x) + self.shortcut(x)
        return summed


class IResNet(nn.Module):
    """Float [B, 3, 112, 112], RGB as (x - 127.5) / 127.5, to embeddings [B, dimension].

    ``depths`` are the blocks of the four stages, ``dropout`` a share of the 25,088 values before
    the linear layer.
    """

    def __init__(self, *, depths: Sequence[int], dimension: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=False),
            nn.BatchNorm2d(WIDTHS[0], eps=EPSILON),
            nn.PReLU(WIDTHS[0]),
        )
        blocks: list[nn.Module] = []
        inputs = WIDTHS[0]
        for width, depth in zip(WIDTHS, depths, strict=True):
            for position in range(depth):
                blocks.append(Block(inputs, width, 2 if position == 0 else 1))
                inputs = width
        self.blocks = nn.Sequential(*blocks)
        last = nn.BatchNorm1d(dimension, eps=EPSILON)
        # The length of an embedding is not compared: a gamma could only weigh dimensions, which
        # the linear layer does already.
        last.weight.requires_grad_(False)
        self.tail = nn.Sequential(
            nn.BatchNorm2d(inputs, eps=EPSILON),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(inputs * CELLS, dimension),
            last,
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, 0.1)

    def forward(self, x: Tensor) -> Tensor:
        embedding: Tensor = self.tail(self.blocks(self.stem(x)))
        return embedding


def iresnet18(*, dimension: int, dropout: float = 0.0) -> IResNet:
    """24,025,600 parameters and 2.610 G multiply-adds at 512 dimensions; 17,602,304 at 256."""
    return IResNet(depths=(2, 2, 2, 2), dimension=dimension, dropout=dropout)


def iresnet34(*, dimension: int, dropout: float = 0.0) -> IResNet:
    """34,139,328 parameters and 4.460 G multiply-adds at 512 dimensions."""
    return IResNet(depths=(3, 4, 6, 3), dimension=dimension, dropout=dropout)


def iresnet50(*, dimension: int, dropout: float = 0.0) -> IResNet:
    """43,590,848 parameters and 6.309 G multiply-adds at 512 dimensions."""
    return IResNet(depths=(3, 4, 14, 3), dimension=dimension, dropout=dropout)


def iresnet100(*, dimension: int, dropout: float = 0.0) -> IResNet:
    """65,156,160 parameters and 12.090 G multiply-adds at 512 dimensions."""
    return IResNet(depths=(3, 13, 30, 3), dimension=dimension, dropout=dropout)
