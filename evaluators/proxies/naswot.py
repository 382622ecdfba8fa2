"""How differently a network sees the images of a batch: by which units each one switches on.

Source: Mellor et al. 2021, arXiv:2006.04647, equation 2. Departures: 1 is added to the kernel's
diagonal, as if each image had a unit of its own, so that images that look the same to the network
give a finite score; PReLU and ReLU6 count as ReLU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..proxy import PROXIES

if TYPE_CHECKING:
    from ..proxy import Batch

_RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.PReLU)


@PROXIES.register("naswot")
def naswot(network: nn.Module, batch: Batch) -> float:
    """Log-determinant of the kernel of how many units agree on each pair of images."""
    kernel = torch.eye(len(batch.images), dtype=torch.float64)

    def agree(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal kernel
        del module
        on: Tensor = (inputs[0] > 0).flatten(1).float()  # (B, units)
        kernel += on @ on.T + (1 - on) @ (1 - on).T  # counts, exact below 2**24

    for module in network.modules():
        if isinstance(module, _RECTIFIERS):
            module.register_forward_pre_hook(agree)
    with torch.no_grad():
        network.train()(batch.images)  # norms by the batch's statistics, for there are no others
    return float(torch.linalg.slogdet(kernel).logabsdet)
