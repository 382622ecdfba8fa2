"""What scores share that look at the gradient of the loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from ..proxy import weights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..proxy import Batch


def loss_gradients(network: nn.Module, batch: Batch) -> list[tuple[Tensor, Tensor]]:
    """Return each weight with the gradient of the batch's cross-entropy, in training mode."""
    values = list(weights(network))
    loss = F.cross_entropy(network.train()(batch.images), batch.labels)
    return list(zip(values, torch.autograd.grad(loss, values), strict=True))
