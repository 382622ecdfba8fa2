"""Training a network: tensor-resident images in, averaged weights out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .checkpoint import read_checkpoint, write_checkpoint
from .loop import EpochResult, Training
from .predict import evaluate, predict_logits
from .recipe import Recipe, epochs_within

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import nn

    from .data import Images

__all__ = [
    "EpochResult",
    "Recipe",
    "epochs_within",
    "evaluate",
    "predict_logits",
    "train",
    "train_until_settled",
]


def train(
    network: nn.Module, images: Images, recipe: Recipe, *, checkpoint: Path | None = None
) -> Iterator[EpochResult]:
    """Train `network` and yield after every epoch.

    Whenever this yields or ends, `network` holds the averaged weights, in evaluation mode; whoever
    has seen enough stops asking. The weights that the optimizer moves are a copy. `checkpoint` is a
    file to go on from, if it exists, and to write after every epoch.

    Raises:
        CandidateError: the loss is no longer finite, or the memory does not suffice.
        DataError: the checkpoint is damaged.
        SpecError: the checkpoint is of another training.
    """
    yield from _epochs(Training(network, images, recipe), checkpoint)


def train_until_settled(
    network: nn.Module,
    images: Images,
    recipe: Recipe,
    *,
    patience: int,
    checkpoint: Path | None = None,
) -> Iterator[EpochResult]:
    """Train as `train` does, but stop once validation has not improved for `patience` epochs.

    It never stops before the second half of the cosine. At the end, `network` holds the averaged
    weights of the epoch that is best in validation; that accuracy was chosen for being high, so the
    test images have the last word.

    Raises:
        CandidateError, DataError, SpecError: as in `train`.
    """
    training = Training(network, images, recipe)
    yield from _epochs(training, checkpoint, patience)
    training.restore_best()


def _epochs(
    training: Training, checkpoint: Path | None, patience: float = math.inf
) -> Iterator[EpochResult]:
    if checkpoint is not None and checkpoint.exists():
        training.restore(read_checkpoint(checkpoint))
    while training.epoch < training.recipe.epochs and not _settled(training, patience):
        result = training.run_epoch()
        if checkpoint is not None:
            write_checkpoint(checkpoint, training.state())
        yield result


def _settled(training: Training, patience: float) -> bool:
    second_half = training.recipe.epochs * (1 + training.recipe.warmup) / 2
    return training.epoch > second_half and training.epoch - training.best_epoch >= patience
