"""What all backbones promise, and what each of them is."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from models.training.backbones import BACKBONES

QUICK = ("slim", "mobilefacenet", "iresnet18")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", QUICK)
def test_crops_become_embeddings_whatever_else_is_in_the_batch(name: str) -> None:
    torch.manual_seed(0)
    network = BACKBONES[name](dimension=24).eval()
    crops = torch.randn(3, 3, 112, 112)
    with torch.no_grad():
        together = network(crops)
        alone = torch.cat([network(crop[None]) for crop in crops])
    assert together.shape == (3, 24)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", QUICK)
def test_every_trained_weight_gets_a_gradient(name: str) -> None:
    torch.manual_seed(0)
    network = BACKBONES[name](dimension=8).train()
    # Not the sum of the rows: normalisation over the batch makes that constant.
    (network(torch.randn(4, 3, 112, 112)) * torch.randn(4, 8)).sum().backward()
    for label, weight in network.named_parameters():
        if weight.requires_grad:
            assert weight.grad is not None, label
            assert weight.grad.isfinite().all(), label
            assert weight.grad.abs().max() > 0, label


@pytest.mark.parametrize("name", BACKBONES)
def test_dropout_is_off_by_default_and_adds_no_weights(name: str) -> None:
    with torch.device("meta"):
        plain, wet = BACKBONES[name](dimension=8), BACKBONES[name](dimension=8, dropout=0.3)
    shares = [each.p for each in plain.modules() if isinstance(each, nn.Dropout)]
    assert shares == [0.0]
    assert [each.p for each in wet.modules() if isinstance(each, nn.Dropout)] == [0.3]
    assert list(plain.state_dict()) == list(wet.state_dict())


def test_dropout_works_while_training_only() -> None:
    torch.manual_seed(0)
    network = BACKBONES["slim"](dimension=8, dropout=0.5).eval()
    crop = torch.randn(1, 3, 112, 112)
    assert torch.equal(network(crop), network(crop))
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.train()
    assert not torch.equal(network(crop), network(crop))


@pytest.mark.parametrize("name", [name for name in BACKBONES if name.startswith("iresnet")])
def test_iresnet_has_the_epsilon_of_its_weights_and_a_frozen_last_gamma(name: str) -> None:
    with torch.device("meta"):
        network = BACKBONES[name](dimension=8)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert {norm.eps for norm in norms} == {1e-5}
    assert {norm.momentum for norm in norms} == {0.1}
    frozen = [label for label, weight in network.named_parameters() if not weight.requires_grad]
    assert frozen == ["tail.4.weight"]
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert all(convolution.bias is None for convolution in convolutions)


def test_iresnet_starts_as_published() -> None:
    torch.manual_seed(0)
    network = BACKBONES["iresnet18"](dimension=8)
    last = network.get_submodule("tail.4")
    assert isinstance(last, nn.BatchNorm1d)
    assert bool((last.weight == 1).all())
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    weights = torch.cat([each.weight.detach().flatten() for each in convolutions])
    assert float(weights.std()) == pytest.approx(0.1, rel=0.01)


def test_mobilefacenet_adds_its_input_where_the_shape_stays() -> None:
    with torch.device("meta"):
        network = BACKBONES["mobilefacenet"](dimension=8)
    blocks = network.get_submodule("blocks")
    assert [block.residual for block in blocks.children()] == (
        [False] + [True] * 4 + [False] + [True] * 6 + [False] + [True] * 2
    )


def test_slim_keeps_the_names_of_its_weights() -> None:
    with torch.device("meta"):
        state = BACKBONES["slim"](dimension=256).state_dict()
    assert state["head.3.weight"].shape == (256, 192)
    assert state["head.4.running_mean"].shape == (256,)
    assert state["stem.0.weight"].shape == (32, 3, 7, 7)
    assert "blocks.1.shortcut.0.weight" in state


def test_slim_does_not_look_at_the_sides() -> None:
    torch.manual_seed(0)
    network = BACKBONES["slim"](dimension=8).eval()
    crop = torch.randn(1, 3, 112, 112)
    other = crop.clone()
    other[..., :8] = 0
    other[..., -8:] = 0
    assert torch.equal(network(crop), network(other))
