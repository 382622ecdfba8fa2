"""One training, epoch by epoch: what happens in a step, and the state between two epochs."""

from __future__ import annotations

import math
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from search_spaces.errors import CandidateError, SpecError

from .augment import augment, normalise
from .batches import epoch_batches
from .memory import keep_freed_memory, memory_suffices
from .mixing import mixed
from .objective import objective
from .optimizer import clipped, penalised, set_lr, sgd
from .predict import evaluate
from .quiet import working
from .ranks import ALONE
from .recipe import steps_per_epoch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Generator

    from .batches import Batch
    from .checkpoint import State
    from .data import Images
    from .ranks import Ranks
    from .recipe import Recipe

    Teacher = Callable[[Tensor], Tensor]

_FEWEST = 2  # images of a process in a step: norms need more than one


@dataclass(frozen=True)
class EpochResult:
    """What is known after `epoch`, counted from 1.

    Args:
        loss: mean over the training images, as augmented, with smoothed labels.
        train_accuracy: share of these images that the weights of the moment put into their class.
        accuracy: of the averaged weights on the validation images.
        lr: learning rate of the last step.
        images_per_s: of training alone.
        seconds: of training and validation.
    """

    epoch: int
    loss: float
    train_accuracy: float
    accuracy: float
    lr: float
    images_per_s: float
    seconds: float


class Training:
    """A training between two epochs.

    All that is random in an epoch follows from the recipe's seed and the epoch's number, so its
    state needs no generator's.

    Args:
        network: where the averaged weights are kept.
        images: to train and validate on.
        recipe: how to train.
        begun: epochs that `network` has behind it; the images come in another order than in these.
        whole: epochs of the training that this is a part of; by default it is all of it.
        teacher: maps pixels from 0 to 1 to scores that the network learns, too.
        ranks: the processes that do it together.

    Raises:
        SpecError: a teacher without a share in the loss, or a share without a teacher; or batches
            too small to be parted among the processes.
    """

    def __init__(
        self,
        network: nn.Module,
        images: Images,
        recipe: Recipe,
        *,
        begun: int = 0,
        whole: int | None = None,
        teacher: Teacher | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        recipe.check_teacher(teacher is not None)
        keep_freed_memory()
        self._begun, self._whole = begun, whole or recipe.epochs
        self.average, self.network = network.eval(), deepcopy(network).train()
        self.images, self.recipe, self._teacher = images, recipe, teacher
        self.history: list[EpochResult] = []
        self.epoch = self.best_epoch = 0
        self._best: tuple[float, dict[str, Tensor]] = (-1.0, {})
        self._device = next(network.parameters()).device
        self._steps = steps_per_epoch(len(images.train), recipe.batch)
        self._optimizer = sgd(self.network, recipe)
        self._penalised, self._clipped = penalised(self.network), clipped(self.network)
        self._fast, self._slow = _floats(self.network), _floats(self.average)
        if len(images.train) // self._steps < _FEWEST * ranks.size > _FEWEST:
            raise SpecError(f"`batch` (={recipe.batch}) must be {_FEWEST} or more a process")
        self.ranks = ranks
        self._slow_offsets, self._fast_offsets = (
            [offset.detach() for module in penalised(each) for offset in module.shift_parameters()]
            for each in (self.average, self.network)
        )
        self._parallel = ranks.parallel(self.network, freezes=bool(self._penalised))

    def run_epoch(self) -> EpochResult:
        """Train and validate once.

        Raises:
            CandidateError: the loss is no longer finite, or the memory does not suffice.
        """
        start = perf_counter()
        with memory_suffices():
            loss, train_accuracy = self._pass()
            trained = perf_counter()
            self.ranks.share(self._slow)
            accuracy = evaluate(self.average, self.images.val, self.images, self.ranks)
        self.epoch += 1
        if accuracy > self._best[0]:
            weights = {name: value.clone() for name, value in self.average.state_dict().items()}
            self.best_epoch, self._best = self.epoch, (accuracy, weights)
        result = EpochResult(
            epoch=self.epoch,
            loss=loss,
            train_accuracy=train_accuracy,
            accuracy=accuracy,
            lr=self.recipe.lr_at(self.epoch * self._steps - 1, self.recipe.epochs * self._steps),
            images_per_s=len(self.images.train) / (trained - start),
            seconds=perf_counter() - start,
        )
        self.history.append(result)
        return result

    def restore_best(self) -> None:
        """Give the network the averaged weights of the epoch that is best in validation."""
        self.average.load_state_dict(self._best[1])

    def state(self) -> State:
        """Return all that `restore` needs to go on as if nothing had happened."""
        return {
            "recipe": asdict(self.recipe),
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "best": self._best,
            "history": [asdict(result) for result in self.history],
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }

    def restore(self, state: State) -> None:
        """Go on from `state`.

        Raises:
            SpecError: it is the state of another training.
        """
        if state.get("recipe") != asdict(self.recipe):
            raise SpecError(f"the checkpoint's recipe is {state.get('recipe')}, not {self.recipe}")
        try:
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
        except RuntimeError as error:
            raise SpecError(f"the checkpoint is of another network: {error}") from error
        self._optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.best_epoch = state["epoch"], state["best_epoch"]
        self._best = state["best"]
        self.history = [EpochResult(**result) for result in state["history"]]

    def _pass(self) -> tuple[float, float]:
        """Return the mean loss and the accuracy over the training images, as augmented."""
        totals = torch.zeros(2, device=self._device)
        n_train = len(self.images.train)
        # Together they do not wait for measurements: each would hold up those it waits for.
        turn = working if self.ranks.size == 1 else nullcontext
        epoch = self._begun + self.epoch
        with epoch_batches(self.images.train, self.recipe, epoch, self.ranks, self._device) as (
            batches,
            generator,
        ):
            for i, batch in enumerate(batches):
                with turn():
                    totals += self._step(self.epoch * self._steps + i, batch, generator)
        mean, accuracy = (self.ranks.total(totals) / n_train).tolist()
        if not math.isfinite(mean):
            raise CandidateError(
                f"training diverged in epoch {self.epoch + 1}: the loss is {mean}; "
                f"a lower `lr` (={self.recipe.lr}) may help"
            )
        return mean, accuracy

    def _step(self, step: int, given: Batch, generator: Generator) -> Tensor:
        """Learn from a batch; return the sum of its losses, and of the hits."""
        recipe, steps = self.recipe, self._steps * self.recipe.epochs
        learning, whole = self._penalised, self._whole * self._steps
        frozen = bool(learning) and 2 * (self._begun * self._steps + step) >= whole
        if frozen:
            for module in learning:
                module.freeze()
            learning = []  # what no longer learns is not penalised either
        pixels = augment(given.pixels, recipe, generator).to(self._device)
        batch = mixed(pixels, given.labels.to(self._device), recipe, generator)
        taught = self._taught(batch.pixels)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=recipe.amp):
            logits = self._parallel(normalise(batch.pixels, self.images))
        loss = objective(logits.float(), batch, taught, recipe)
        penalties = [module.penalty(recipe.shift_norm) for module in learning]
        self._optimizer.zero_grad()
        total = given.weight * loss + recipe.shift_penalty * sum(penalties)
        total.backward()  # type: ignore[no-untyped-call]
        if recipe.clip:
            nn.utils.clip_grad_norm_(self._clipped, recipe.clip)
        set_lr(self._optimizer, recipe.lr_at(step, steps))
        self._optimizer.step()
        torch._foreach_lerp_(self._slow, self._fast, 1 - recipe.ema_decay_at(step))
        if frozen:  # the weights learn with these offsets, not with others on their way there
            torch._foreach_copy_(self._slow_offsets, self._fast_offsets)
        hits = batch.blend(lambda labels: (logits.argmax(1) == labels).sum())
        return torch.stack([loss.detach() * len(given.labels), hits])

    def _taught(self, pixels: Tensor) -> Tensor | None:
        if self._teacher is None:
            return None
        with torch.no_grad():
            return self._teacher(pixels.float() / 255)


def _floats(network: nn.Module) -> list[Tensor]:
    """Return what is averaged: parameters, and the norms' statistics."""
    tensors = (*network.parameters(), *network.buffers())
    return [tensor.detach() for tensor in tensors if tensor.is_floating_point()]
