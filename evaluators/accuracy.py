"""Validation accuracy after a training from scratch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from search_spaces.arch import Arch, Task
from search_spaces.errors import SpecError
from search_spaces.network import build
from search_spaces.shift import SparseShift

from .data import DataSpec, load
from .evaluator import EVALUATORS, Metric, Report
from .fidelity import Fidelity
from .ledger import spending, spending_each
from .quiet import working
from .recipe import Recipe
from .training import train_to_rung

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from torch import nn


@EVALUATORS.register("accuracy")
@dataclass(frozen=True)
class Accuracy:
    """Train an architecture and report the validation accuracy after every epoch.

    With it come the loss, the images trained per second and, of a network with sparse shifts, the
    share of their channels that do not move. The test images are never looked at.

    Args:
        data: which images; an architecture with a resolution sees them at that.
        recipe: how to train; its seed also decides the first weights.
        rungs: what to train through, instead of the recipe's epochs in one go; resolutions are for
            images of the task's own size, and are scaled to the architecture's.
        checkpoint: a file with the state at the last of an earlier call's `rungs`, from which this
            one goes on; at the end of this one, it holds that state.
    """

    data: DataSpec = field(default_factory=DataSpec)
    recipe: Recipe = field(default_factory=Recipe)
    rungs: tuple[Fidelity, ...] = ()
    checkpoint: Path | None = None

    metrics: ClassVar[tuple[Metric, ...]] = (Metric("accuracy", "max"),)

    def __call__(self, arch: Arch, task: Task) -> Iterator[Report]:
        """Train `arch` and report each epoch.

        Raises:
            CandidateError: the training diverges, or the memory does not suffice.
            DataError: the images cannot be read.
            SpecError: the images are not those of `task`.
        """
        with working(), spending("loading"):  # decoding images is work, too
            images = load(self.data.sized(arch.resolution))
        whole, task = task.shape[1], arch.on(task)
        found = Task(len(images.classes), images.shape)
        if found != task:
            raise SpecError(f"the images of {self.data.name!r} are {found}, but the task is {task}")
        with spending("building"):
            network = build(arch, task, seed=self.recipe.seed)
        given = self.rungs or (Fidelity(self.recipe.epochs),)
        rungs = tuple(rung.scaled(task.shape[1], whole) for rung in given)
        results = train_to_rung(network, images, self.recipe, rungs, checkpoint=self.checkpoint)
        for result in spending_each("training", results):
            metrics = {
                "accuracy": result.accuracy,
                "loss": result.loss,
                "images_per_s": result.images_per_s,
            }
            yield Report(result.epoch, metrics | unshifted_share(network))


def unshifted_share(network: nn.Module) -> dict[str, float]:
    """Return the metric of that name over all channels of sparse shifts; nothing without any."""
    shifts = [module for module in network.modules() if isinstance(module, SparseShift)]
    if not shifts:
        return {}
    still = sum(len(shift.a) * shift.unshifted_share() for shift in shifts)
    return {"unshifted_share": still / sum(len(shift.a) for shift in shifts)}
