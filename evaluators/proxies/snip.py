"""How much the loss depends on the connections, to first order.

Source: Lee et al. 2019, arXiv:1810.02340, equation 5 before its normalisation, summed over all
weights as in Abdelfattah et al. 2021, arXiv:2101.08134, equation 1. Departures: none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..proxy import PROXIES
from ._loss import loss_gradients

if TYPE_CHECKING:
    from torch import nn

    from ..proxy import Batch


@PROXIES.register("snip")
def snip(network: nn.Module, batch: Batch) -> float:
    """Sum over weights of |weight x its gradient of the loss|."""
    pairs = loss_gradients(network, batch)
    return sum(float((weight.detach() * gradient).abs().sum()) for weight, gradient in pairs)
