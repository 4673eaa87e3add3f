"""What a network costs: parameters and multiply-adds."""

from typing import Final

import torch
from torch import Tensor, nn

SIZE: Final = 112  # side of a crop


def count_parameters(network: nn.Module) -> int:
    """All parameters, those that are never trained (a frozen gamma) too."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_macs(network: nn.Module) -> int:
    """Multiply-adds of convolutions and linear layers for one crop [1, 3, 112, 112].

    Normalisation, activations and sums are left out, as in the papers' tables. The network runs
    once, in evaluation mode, where its weights are; the mode of each part is restored.
    """
    total = 0

    def add(layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        total += output[0].numel() * weights_an_output(layer)

    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(add) for layer in layers]
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():
            network(torch.zeros(1, 3, SIZE, SIZE, device=next(network.parameters()).device))
    finally:
        for module, training in modes:
            module.training = training
        for hook in hooks:
            hook.remove()
    return total


def weights_an_output(layer: nn.Module) -> int:
    """How many weights each output of a convolution or linear layer is a sum over."""
    weight = layer.get_parameter("weight")
    return weight.numel() // weight.shape[0]
