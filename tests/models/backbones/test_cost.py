"""Parameters and multiply-adds are the published ones."""

import pytest
import torch
from torch import nn

from models.training.backbones import BACKBONES
from models.training.backbones.cost import count_macs, count_parameters


def made(name: str, dimension: int) -> nn.Module:
    """Without memory or arithmetic: shapes are all that counts."""
    with torch.device("meta"):
        return BACKBONES[name](dimension=dimension)


@pytest.mark.parametrize(
    ("name", "dimension", "parameters"),
    [
        ("slim", 256, 1_544_768),
        ("mobilefacenet", 128, 1_003_136),
        ("mobilefacenet", 512, 1_200_512),
        ("iresnet18", 256, 17_602_304),
        ("iresnet18", 512, 24_025_600),
        ("iresnet34", 512, 34_139_328),
        ("iresnet50", 512, 43_590_848),
        ("iresnet100", 512, 65_156_160),
    ],
)
def test_parameters(name: str, dimension: int, parameters: int) -> None:
    network = made(name, dimension)
    assert count_parameters(network) == parameters
    assert f"{parameters:,}" in (BACKBONES[name].__doc__ or "")


@pytest.mark.parametrize(
    ("name", "dimension", "macs", "said"),
    [
        ("slim", 256, 112.1e6, "112.1 M"),
        ("mobilefacenet", 128, 221.0e6, "221.0 M"),
        ("mobilefacenet", 512, 221.2e6, "221.2 M"),
        ("iresnet18", 512, 2.610e9, "2.610 G"),
        ("iresnet34", 512, 4.460e9, "4.460 G"),
        ("iresnet50", 512, 6.309e9, "6.309 G"),
        ("iresnet100", 512, 12.090e9, "12.090 G"),
    ],
)
def test_multiply_adds(name: str, dimension: int, macs: float, said: str) -> None:
    network = made(name, dimension)
    assert count_macs(network) == pytest.approx(macs, rel=3e-4)
    assert said in (BACKBONES[name].__doc__ or "")


def test_a_count_by_hand() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1),  # 56 x 56 places, 8 outputs, 27 weights each
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, 2, 1, groups=8),  # 28 x 28 places, 8 outputs, 9 weights each
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )
    assert count_macs(network) == 56 * 56 * 8 * 27 + 28 * 28 * 8 * 9 + 8 * 4
    assert count_parameters(network) == (27 + 1) * 8 + (9 + 1) * 8 + (8 + 1) * 4


def test_counting_leaves_the_network_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.Dropout(0.5))
    network[2].eval()
    for training in (True, False):
        network[0].train(training)
        count_macs(network)
        assert (network[0].training, network[2].training) == (training, False)
    assert network[1].num_batches_tracked == 0
    assert not network[0]._forward_hooks
