"""Training a network: tensor-resident images in, averaged weights out."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from search_spaces.errors import DataError

from .checkpoint import read_checkpoint, write_checkpoint
from .fidelity import reduced
from .loop import EpochResult, Training
from .predict import evaluate, predict_logits
from .ranks import ALONE
from .recipe import Recipe, epochs_within

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import nn

    from .checkpoint import State
    from .data import Images
    from .fidelity import Fidelity
    from .loop import Teacher
    from .ranks import Ranks

__all__ = [
    "EpochResult",
    "Recipe",
    "epochs_within",
    "evaluate",
    "predict_logits",
    "train",
    "train_to_rung",
    "train_until_settled",
]


def train(
    network: nn.Module,
    images: Images,
    recipe: Recipe,
    *,
    checkpoint: Path | None = None,
    teacher: Teacher | None = None,
    ranks: Ranks = ALONE,
) -> Iterator[EpochResult]:
    """Train `network` and yield after every epoch.

    Whenever this yields or ends, `network` holds the averaged weights, in evaluation mode; whoever
    has seen enough stops asking. The weights that the optimizer moves are a copy. `checkpoint` is a
    file to go on from, if it exists, and to write after every epoch. `teacher` maps pixels from 0
    to 1, (B, C, H, W), to scores, (B, classes). `ranks` are the processes that train together; the
    first writes the checkpoint, which all must see.

    Raises:
        CandidateError: the loss is no longer finite, or the memory does not suffice.
        DataError: the checkpoint is damaged.
        SpecError: the checkpoint is of another training, or the recipe does not fit the teacher.
    """
    yield from _epochs(Training(network, images, recipe, teacher=teacher, ranks=ranks), checkpoint)


def train_to_rung(
    network: nn.Module,
    images: Images,
    recipe: Recipe,
    rungs: tuple[Fidelity, ...],
    *,
    checkpoint: Path | None = None,
) -> Iterator[EpochResult]:
    """Train `network` from rung to rung up to the last of `rungs`, and yield after every epoch.

    On the way to each rung the learning rate warms up and falls to nothing, beginning with the
    averaged weights of the rung before; so a rung's accuracy is that of a finished training. Going
    on from `checkpoint` equals not having paused. It is the state at an earlier rung, if it exists,
    and is written at the last, unless that is the end of the recipe's epochs. Images per second are
    counted as if they had all their pixels.

    Raises:
        CandidateError: the loss is no longer finite, or the memory does not suffice.
    """
    done = _restored(network, recipe, rungs, checkpoint) if checkpoint else 0
    for i, rung in enumerate(rungs[done:], start=done):
        begun = rungs[i - 1].epochs if i else 0
        part = reduced(images, rung.share, rung.resolution, recipe.seed)
        leg = replace(recipe, epochs=rung.epochs - begun)
        training = Training(network, part, leg, begun=begun, whole=recipe.epochs)
        for result in _epochs(training, None):
            epoch, pixels = begun + result.epoch, part.train.images[0].numel()
            if checkpoint is not None and epoch == rungs[-1].epochs < recipe.epochs:
                write_checkpoint(checkpoint, _state(network, recipe, rungs))
            speed = result.images_per_s * pixels / images.train.images[0].numel()
            yield replace(result, epoch=epoch, images_per_s=speed)


def _state(network: nn.Module, recipe: Recipe, rungs: tuple[Fidelity, ...]) -> State:
    described = [asdict(rung) for rung in rungs]
    return {"recipe": asdict(recipe), "rungs": described, "network": network.state_dict()}


def _restored(
    network: nn.Module, recipe: Recipe, rungs: tuple[Fidelity, ...], checkpoint: Path
) -> int:
    """Load a checkpoint and return how many rungs it has behind it; none if it is of no use."""
    try:
        state = read_checkpoint(checkpoint)
        done = len(state["rungs"])
        if done >= len(rungs) or _kind(state) != _kind(_state(network, recipe, rungs[:done])):
            return 0
    except (DataError, KeyError, TypeError, AttributeError):  # what it spares is trained again
        return 0
    network.load_state_dict(state["network"])
    return done


def _kind(state: State) -> tuple[Any, ...]:
    """Return what must agree before the weights of a state are taken."""
    weights = {name: (value.shape, value.dtype) for name, value in state["network"].items()}
    return state["recipe"], state["rungs"], weights


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
        if checkpoint is not None and training.ranks.first:
            write_checkpoint(checkpoint, training.state())
        yield result


def _settled(training: Training, patience: float) -> bool:
    second_half = training.recipe.epochs * (1 + training.recipe.warmup) / 2
    return training.epoch > second_half and training.epoch - training.best_epoch >= patience
