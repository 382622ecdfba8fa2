"""What a trained network makes of a split of the images."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .augment import normalise
from .quiet import working

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .data import Images, Split

BATCH = 256


def evaluate(network: nn.Module, split: Split, images: Images) -> float:
    """Return the share of `split` that `network` puts into the right class."""
    predicted = predict_logits(network, split, images).argmax(1)
    return int((predicted == split.labels).sum()) / len(split)


def predict_logits(network: nn.Module, split: Split, images: Images) -> Tensor:
    """Return the scores of the classes for each image of `split`, (N, classes), on the CPU."""
    device = next(network.parameters()).device
    scores = []
    with _evaluating(network):
        for batch in split.batches(torch.arange(len(split)).split(BATCH)):  # type: ignore[no-untyped-call]
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
