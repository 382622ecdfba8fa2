"""A configuration's names looked up and held against each other, before anything is written."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from evaluators.child import Child
from evaluators.cores import cores
from evaluators.data import DataSpec, load
from evaluators.evaluator import Metric
from evaluators.fidelity import FIDELITIES, rungs
from evaluators.footprint import file_size, footprint
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
from .objectives import OBJECTIVES
from .progress import SILENT
from .samplers import SAMPLERS
from .sieve import Sieve, parse_screen
from .targets import OnEach, about, targets_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from evaluators.evaluator import Evaluator
    from evaluators.isolated import Caller
    from evaluators.program import Prepared
    from search_spaces.space import Space
    from search_spaces.subspace import Subspace

    from .config import SearchConfig
    from .executors.local import Executor
    from .halving import Goals
    from .targets import NamedTarget

_FORMATS = {"cpu-int8": ("onnx-int8",)}  # what a target times, beside the usual files
SHOWN = 40_000  # training images, repeats counted, after which candidates can be told apart


class Setup:
    """What a search works with.

    Args:
        config: the options.
        space: that of a run under way, instead of the one that `config` names.
        note: told of what is lost on a cluster.

    Attributes:
        config: the options.
        data: which images.
        sized_data: these at each resolution of the space, ascending; as they are if it has none.
        task: their shape and classes, at the highest resolution.
        train_images: how many there are to train on.
        val_images: how many there are to validate on.
        space: where candidates come from.
        budget: on analytic costs.
        epochs: of a candidate, at most.
        rungs: at which candidates are compared, the last one being the end of their training.
        final_epochs: of a finalist, at most.
        targets: on which latency is measured.
        objectives: the accuracy and the latency on each target.
        formats: of the finalists' files.
        latency: the evaluator that measures the latency on each, in a process of its own.
        screening: the one that candidates meet, which may predict it, in the same process.
        sieve: what keeps candidates from being trained; None lets all pass.
        workers: processes that train side by side on this machine.
        executor: where candidates and finalists are trained.

    Raises:
        NasError: an unknown name or unusable data.
    """

    def __init__(
        self,
        config: SearchConfig,
        space: Space | None = None,
        note: Callable[[str], None] = SILENT.note,
    ) -> None:
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
        if space is None and config.space:
            space = find_space(config.space)
        sides = space.resolution if space else ()
        self.sized_data = tuple(map(self.data.sized, sides)) or (self.data,)
        self.workers = config.workers or len(cores())
        self.targets = targets_of(config)
        latencies = (Metric(target.column, "min") for target in self.targets)
        self.objectives = (OBJECTIVES[0], *latencies)
        local = LocalExecutor(self.workers, deterministic=config.deterministic)
        self.executor: Executor = Waves(local) if config.deterministic else local
        child = Child()
        self._callers: dict[NamedTarget, Caller] = dict.fromkeys(self.targets, child)
        if config.on_ray:
            self.executor = ray = self._ray(note)
            self._callers = {t: ray.measuring(t.resource) for t in self.targets}
        self.latency = self.screening = self._isolated(map(self._latency, self.targets))
        if config.predict_latency:
            predicted = (PredictedLatency(self._latency(t), t.limit_ms) for t in self.targets)
            self.screening = self._isolated(predicted)
        if self.workers > len(cores()) and not config.deterministic:  # there it changes nothing
            raise ConfigError(
                f"`workers` (={self.workers}) must be at most the number of cores (={len(cores())})"
            )
        images = load(self.sized_data[-1])
        self.train_images, self.val_images = len(images.train), len(images.val)
        self.epochs = config.epochs or min(max(3, round(SHOWN / self.train_images)), 60)
        self.rungs = rungs(
            config.fidelity,
            self.epochs,
            images=self.train_images,
            side=images.shape[1],
            eta=config.eta,
        )
        kinds = [target.text.partition(":")[0] for target in self.targets]
        more = (name for kind in kinds for name in _FORMATS.get(kind, ()))
        self.formats = tuple(dict.fromkeys([*FORMATS, *more]))
        self.final_epochs = config.final_epochs or 4 * self.epochs
        self.task = Task(len(images.classes), images.shape)
        self.space: Space = space or space_for(images.shape)
        self.budget = Budget(config.budget_params, config.budget_macs, config.budget_size)
        self.sieve = self._sieve(*parse_screen(config.screen)) if config.screen else None

    def _sieve(self, proxy: str, share: float) -> Sieve:
        return Sieve(proxy, share, self.inside, self.task, self.data, self.config.seed)

    def _ray(self, note: Callable[[str], None]) -> RayExecutor:
        config = self.config
        return RayExecutor(
            config.ray_address,
            cpus=config.cpus_per_trial,
            gpus=config.gpus_per_trial,
            concurrency=config.concurrency,
            data=self.sized_data,
            latency_resources=[target.resource for target in self.targets],
            note=note,
        )

    def _latency(self, target: NamedTarget) -> Latency:
        kind = RememberedLatency if self.config.deterministic else Latency
        return kind(target.text, self.config.latency_tolerance)

    def _isolated(self, evaluators: Iterable[Evaluator]) -> OnEach:
        """Return what asks each target's evaluator, in the process that measures there."""
        each = zip(self._callers.items(), evaluators, strict=True)
        return OnEach({target: Isolated(asked, caller) for (target, caller), asked in each})

    def about_targets(self) -> dict[str, Any]:
        """Return on what the latencies were measured, told by the processes that measure."""
        found: dict[str, Any] = {}
        for target, caller in self._callers.items():
            told = caller.call(about, target.text)
            found |= {target.prefix + name: value for name, value in told.items()}
        return found

    def footprint(self, program: Prepared) -> dict[str, float]:
        """Return what an inference on the first target takes beside time, told by its machine."""
        if self.config.deterministic:
            return file_size(program)
        if isinstance(self.executor, RayExecutor):
            return self.executor.call_parent(self.targets[0].resource, footprint, program)
        return footprint(program)

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
    def places(self) -> int:
        """How many candidates can be measured at the same time; on Ray, once it is connected."""
        return self.executor.places if isinstance(self.executor, RayExecutor) else 1

    @property
    def goals(self) -> Goals:
        """Whether more or less is better, of each objective."""
        return tuple(metric.goal for metric in self.objectives)

    @property
    def inside(self) -> Subspace:
        """The part of the space that is within the budget."""
        return self.space.within(self.budget, self.task)
