"""How much a network's features change with its input, for Gaussian weights and inputs.

Source: Lin et al. 2021, arXiv:2102.01063, Algorithm 1, with its released code's constants.
Departures: the expectation is over as many random images as the batch has, once; shortcuts stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..proxy import PROXIES

if TYPE_CHECKING:
    from ..proxy import Batch

_STEP = 0.01  # of the disturbance, in standard deviations of the input


@PROXIES.register("zen")
def zen(network: nn.Module, batch: Batch) -> float:
    """Log of how much the features change, with what the norms have scaled away added."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.weight.requires_grad:
            nn.init.normal_(module.weight)
    scale = 0.0
    features: list[Tensor] = []

    def undo(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal scale
        del module
        scale += float(inputs[0].var(dim=(0, 2, 3), correction=0).mean().log()) / 2

    def keep(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        del module
        features.append(inputs[0])

    image = torch.randn_like(batch.images)
    near = image + _STEP * torch.randn_like(image)
    _before_the_pool(network).register_forward_pre_hook(keep)
    hooks = [
        module.register_forward_pre_hook(undo)
        for module in network.modules()
        if isinstance(module, nn.BatchNorm2d)
    ]
    with torch.no_grad():
        network.train()(image)
        for hook in hooks:
            hook.remove()
        network(near)
    change = (features[0] - features[1]).abs().mean()
    return float(change.log()) + scale


def _before_the_pool(network: nn.Module) -> nn.Module:
    """Return the module whose input the features are: the last pooling, else the classifier."""
    kinds = (nn.AdaptiveAvgPool2d, nn.Linear)
    modules = [module for module in network.modules() if isinstance(module, kinds)]
    pools = [module for module in modules if isinstance(module, nn.AdaptiveAvgPool2d)]
    return (pools or modules)[-1]
