"""A configuration's names looked up and held against each other, before anything is written."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from evaluators.accuracy import Accuracy
from evaluators.child import Child
from evaluators.cores import cores
from evaluators.data import DataSpec, load
from evaluators.fidelity import FIDELITIES, rungs
from evaluators.isolated import Isolated
from evaluators.latency import Latency
from evaluators.predicted_latency import PredictedLatency
from evaluators.recipe import Recipe
from evaluators.remembered_latency import RememberedLatency
from search_spaces.arch import Task
from search_spaces.budget import NO_LIMIT, Budget
from search_spaces.spaces import find_space, space_for

from .config import ConfigError
from .executors.local import LocalExecutor
from .executors.ray import RayExecutor
from .executors.waves import Waves
from .exporter import FORMATS
from .halving import SCHEDULERS
from .samplers import SAMPLERS

if TYPE_CHECKING:
    from search_spaces.space import Space
    from search_spaces.subspace import Subspace

    from .config import SearchConfig
    from .executors.local import Executor

_FORMATS = {"cpu-int8": ("onnx-int8",)}  # what a target times, beside the usual files
SHOWN = 40_000  # training images, repeats counted, after which candidates can be told apart
OBJECTIVES = (Accuracy.metrics[0], Latency.metrics[0])
GOALS = tuple(metric.goal for metric in OBJECTIVES)


class Setup:
    """What a search works with.

    Args:
        config: the options.
        space: that of a run under way, instead of the one that `config` names.

    Attributes:
        config: the options.
        data: which images.
        task: their shape and classes.
        train_images: how many there are to train on.
        space: where candidates come from.
        budget: on analytic costs.
        epochs: of a candidate, at most.
        rungs: at which candidates are compared, the last one being the end of their training.
        final_epochs: of a finalist, at most.
        formats: of the finalists' files.
        latency: the evaluator that measures the latency, in a process of its own.
        screening: the one that candidates meet, which may predict it, in the same process.
        workers: processes that train side by side on this machine.
        executor: where candidates and finalists are trained.

    Raises:
        NasError: an unknown name or unusable data.
    """

    def __init__(self, config: SearchConfig, space: Space | None = None) -> None:
        SAMPLERS[config.sampler]
        for name, known in (("scheduler", SCHEDULERS), ("fidelity", FIDELITIES)):
            if getattr(config, name) not in known:
                raise ConfigError(
                    f"`{name}` (={getattr(config, name)!r}) must be one of: {', '.join(known)}"
                )
        self.config = config
        self.data = DataSpec(
            config.data, config.data_dir, config.download, config.image_size, config.seed
        )
        self.workers = config.workers or len(cores())
        local = LocalExecutor(self.workers, deterministic=config.deterministic)
        self.executor: Executor = Waves(local) if config.deterministic else local
        child: Child | RayExecutor = Child()
        if config.on_ray:
            self.executor = child = self._ray()
        kind = RememberedLatency if config.deterministic else Latency
        latency = kind(config.target, config.latency_tolerance)
        self.latency = self.screening = Isolated(latency, child)
        if config.predict_latency:
            self.screening = Isolated(PredictedLatency(latency, config.budget_latency), child)
        if self.workers > len(cores()) and not config.deterministic:  # there it changes nothing
            raise ConfigError(
                f"`workers` (={self.workers}) must be at most the number of cores (={len(cores())})"
            )
        if space is None and config.space:
            space = find_space(config.space)
        images = load(self.data)
        self.train_images = len(images.train)
        self.epochs = config.epochs or min(max(3, round(SHOWN / self.train_images)), 60)
        self.rungs = rungs(
            config.fidelity,
            self.epochs,
            images=self.train_images,
            side=images.shape[1],
            eta=config.eta,
        )
        self.formats = (*FORMATS, *_FORMATS.get(config.target.partition(":")[0], ()))
        self.final_epochs = config.final_epochs or 4 * self.epochs
        self.task = Task(len(images.classes), images.shape)
        self.space: Space = space or space_for(images.shape)
        self.budget = Budget(config.budget_params, config.budget_macs, config.budget_size)

    def _ray(self) -> RayExecutor:
        config = self.config
        return RayExecutor(
            config.ray_address,
            cpus=config.cpus_per_trial,
            gpus=config.gpus_per_trial,
            concurrency=config.concurrency,
            data=self.data,
            latency_resource=config.latency_resource,
        )

    def recipe(self, epochs: int) -> Recipe:
        """Return how networks are trained for `epochs` epochs."""
        return Recipe(epochs=epochs, seed=self.config.seed)

    def check_budget(self) -> None:
        """Refuse a budget that no architecture of the space can meet.

        Raises:
            BudgetError: the message has the budget and the nearest that can be met.
        """
        if self.budget != NO_LIMIT:
            self.inside.sample(random.Random(0))  # limits of two kinds may rule each other out

    @property
    def inside(self) -> Subspace:
        """The part of the space that is within the budget."""
        return self.space.within(self.budget, self.task)
