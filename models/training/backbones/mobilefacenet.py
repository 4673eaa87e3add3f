"""MobileFaceNet (Chen et al., "MobileFaceNets", CCBR 2018)."""

from typing import Final, NamedTuple

from torch import Tensor, nn


class Stage(NamedTuple):
    """A row of the paper's table 1: ``repeats`` bottlenecks, the first with the stride."""

    expansion: int
    width: int
    repeats: int
    stride: int


STEM: Final = 64
STAGES: Final = (
    Stage(2, 64, 5, 2),
    Stage(4, 128, 1, 2),
    Stage(2, 128, 6, 1),
    Stage(4, 128, 1, 2),
    Stage(2, 128, 2, 1),
)
LAST: Final = 512  # channels that the global depthwise convolution weighs


def convolution(
    inputs: int, outputs: int, size: int, *, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution of ``size`` x ``size``, normalisation and PReLU; "same" padding."""
    return [
        *linear_convolution(inputs, outputs, size, stride=stride, groups=groups),
        nn.PReLU(outputs),
    ]


def linear_convolution(
    inputs: int, outputs: int, size: int, *, stride: int = 1, groups: int = 1, padded: bool = True
) -> list[nn.Module]:
    """The same without an activation."""
    padding = size // 2 if padded else 0
    return [
        nn.Conv2d(inputs, outputs, size, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]


class Bottleneck(nn.Module):
    """1x1 up, 3x3 depthwise, linear 1x1 down; the input is added where the shape stays."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.residual = stride == 1 and inputs == outputs
        self.body = nn.Sequential(
            *convolution(inputs, inner, 1),
            *convolution(inner, inner, 3, stride=stride, groups=inner),
            *linear_convolution(inner, outputs, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.body(x)
        return x + changed if self.residual else changed


class MobileFaceNet(nn.Module):
    """Float [B, 3, 112, 112], RGB as (x - 127.5) / 127.5, to embeddings [B, dimension].

    1,003,136 parameters and 221.0 M multiply-adds at 128 dimensions, as in the paper; 1,200,512
    and 221.2 M at 512. The paper decays the weights behind the global depthwise convolution ten
    times more (4e-4) than the others (4e-5). ``dropout`` is a share of that convolution's 512
    outputs.
    """

    def __init__(self, *, dimension: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *convolution(3, STEM, 3, stride=2), *convolution(STEM, STEM, 3, groups=STEM)
        )
        blocks: list[nn.Module] = []
        inputs = STEM
        for stage in STAGES:
            for position in range(stage.repeats):
                stride = stage.stride if position == 0 else 1
                blocks.append(Bottleneck(inputs, stage.width, stride, stage.expansion))
                inputs = stage.width
        self.blocks = nn.Sequential(*blocks)
        self.tail = nn.Sequential(
            *convolution(inputs, LAST, 1),
            # A face's places are not alike: weighed one by one, not averaged.
            *linear_convolution(LAST, LAST, 7, groups=LAST, padded=False),
            nn.Flatten(),
            nn.Dropout(dropout),
            # The paper's linear 1x1 convolution, on what is one place by now.
            nn.Linear(LAST, dimension, bias=False),
            nn.BatchNorm1d(dimension),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # Fan-in: the fan-out of a depthwise convolution is counted over all channels.
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        embedding: Tensor = self.tail(self.blocks(self.stem(x)))
        return embedding
