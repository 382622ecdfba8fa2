"""What a trained network makes of a split of the images."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .augment import normalise
from .quiet import working
from .ranks import ALONE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .data import Images, Split
    from .ranks import Ranks

BATCH = 256


def evaluate(network: nn.Module, split: Split, images: Images, ranks: Ranks = ALONE) -> float:
    """Return the share of `split` that `network` puts into the right class.

    Of several processes each takes its part; all get the whole answer.
    """
    index = ranks.part(torch.arange(len(split)))
    predicted = predict_logits(network, split, images, index).argmax(1)
    right = (predicted == split.labels[index]).sum().to(next(network.parameters()).device)
    return int(ranks.total(right)) / len(split)


def predict_logits(
    network: nn.Module, split: Split, images: Images, index: Tensor | None = None
) -> Tensor:
    """Return the scores of the classes, (N, classes), on the CPU.

    Args:
        network: takes normalised images.
        split: whose images, all of them unless `index` says which.
        images: with the mean and deviation of the training.
        index: places in the split, (N,).
    """
    index = torch.arange(len(split)) if index is None else index
    device = next(network.parameters()).device
    scores = []
    with _evaluating(network):
        for batch in split.batches(index.split(BATCH)):  # type: ignore[no-untyped-call]
            with working():
                scores.append(network(normalise(batch.to(device), images)).cpu())
    return torch.cat(scores)


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Put `network` into evaluation mode without gradients, and back afterwards."""
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        network.train(was_training)
