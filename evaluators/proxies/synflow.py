"""How much flows through a network whose weights are all positive.

Source: Tanaka et al. 2020, arXiv:2006.05467, equation 2; as a score of whole networks Abdelfattah
et al. 2021, arXiv:2101.08134, equation 1. Departures: the logarithm of the sum, which keeps the
order; norms do nothing, as in the latter's code, nor does ReLU6, which would stop at 6 what is
positive and passes any ReLU; offsets of shifts keep their signs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..proxy import PROXIES, weights

if TYPE_CHECKING:
    from ..proxy import Batch


@PROXIES.register("synflow")
def synflow(network: nn.Module, batch: Batch) -> float:
    """Log of the sum over weights of |weight| x its gradient of the sum of the outputs."""
    network.double()  # the flow grows with each layer, beyond float32
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.ReLU6)):
            module.forward = _through  # type: ignore[assignment,method-assign]
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            for parameter in module.parameters(recurse=False):
                parameter.data.abs_()
    values = list(weights(network))
    flow = network(torch.ones_like(batch.images[:1], dtype=torch.float64)).sum()
    gradients = torch.autograd.grad(flow, values)
    pairs = zip(values, gradients, strict=True)
    return float(torch.stack([(value.detach() * g).sum() for value, g in pairs]).sum().log())


def _through(x: Tensor) -> Tensor:
    return x
