"""How large the gradient of the loss is after one batch.

Source: Abdelfattah et al. 2021, arXiv:2101.08134, section 3.1, "grad_norm". Departures: none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..proxy import PROXIES
from ._loss import loss_gradients

if TYPE_CHECKING:
    from torch import nn

    from ..proxy import Batch


@PROXIES.register("gradnorm")
def gradnorm(network: nn.Module, batch: Batch) -> float:
    """Sum over layers of the norm of the gradient of the loss."""
    return sum(float(gradient.norm()) for _, gradient in loss_gradients(network, batch))
