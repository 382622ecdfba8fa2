"""Trainings of finalists with other seeds, while it is not settled which are on the front."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, NamedTuple

from evaluators.data import DataSpec, load
from evaluators.evaluator import Report
from evaluators.ledger import spending, spending_each
from evaluators.predict import evaluate
from evaluators.quiet import working
from evaluators.training import train_until_settled
from search_spaces.network import build

from .executors.local import Job
from .finalists import PATIENCE, keep_metrics
from .undecided import Member, undecided

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from evaluators.recipe import Recipe
    from search_spaces.arch import Arch, Task

    from .clock import Clock
    from .progress import Progress
    from .setup import Setup

MOST = 2  # repeats of a finalist within a time limit, unless somebody says how many
_SLACK = 1.1  # times the expected seconds must be left

Metrics = dict[str, Any]


@dataclass(frozen=True)
class Repeat:
    """Trains and tests an architecture as `Finish` does, and exports nothing.

    Attributes:
        data: the images.
        recipe: of the training, with a seed of its own.
    """

    data: DataSpec
    recipe: Recipe

    def __call__(self, arch: Arch, task: Task) -> Iterator[Report]:
        """Yield a report an epoch, and one more with the test accuracy."""
        with working(), spending("loading"):
            images = load(self.data.sized(arch.resolution))
        with spending("building"):
            network = build(arch, task, seed=self.recipe.seed)
        training = train_until_settled(network, images, self.recipe, patience=PATIENCE)
        for result in spending_each("training", training):
            yield Report(result.epoch, {"accuracy": result.accuracy})
        with spending("testing"):
            tested = {
                "accuracy": evaluate(network, images.val, images),
                "test_accuracy": evaluate(network, images.test, images),
            }
        yield Report(result.epoch + 1, tested)


class _Training(NamedTuple):
    digest: str
    seed: int


class Repeats:
    """The repeats of a run: as many as it takes, within what time and options allow.

    Args:
        setup: of the run.
        clock: of the run.
        progress: told what happens.
        models: the folder with the finalists.
        recipe: that they were trained by.
        archs: theirs, by digest.
        seconds: of an epoch of each.
        measured: returns the metrics of those who may be on the front.
    """

    def __init__(
        self,
        setup: Setup,
        clock: Clock,
        progress: Progress,
        models: Path,
        recipe: Recipe,
        archs: Mapping[str, Arch],
        seconds: Mapping[str, float],
        measured: Callable[[], Mapping[str, Metrics]],
    ) -> None:
        self._setup, self._clock, self._progress, self._models = setup, clock, progress, models
        self._recipe, self._archs, self._seconds = recipe, archs, seconds
        self._measured = measured
        self._under_way: set[_Training] = set()
        self._tested: dict[_Training, Metrics] = {}
        self._failed: set[str] = set()
        usual = 0 if clock.timeout is None else MOST
        self._most = usual if setup.config.repeats is None else setup.config.repeats

    def run(self) -> None:
        """Repeat trainings until all is settled, or no more are allowed."""
        if first := self._next_job():
            jobs = [first]
            self._setup.executor.run(
                lambda: jobs.pop() if jobs else self._next_job(), self._goes_on, self._ended
            )

    def _next_job(self) -> Job[_Training] | None:
        """Return a training of the undecided finalist that has been trained least often."""
        measured = self._measured()
        done = {digest: trainings(m, self._recipe.seed) for digest, m in measured.items()}
        members = [self._member(digest, measured[digest], found) for digest, found in done.items()]
        seeds = {d: {t["seed"] for t in found} | self._seeds(d) for d, found in done.items()}
        open_ = undecided(members, self._setup.val_images)
        for digest in sorted(open_, key=lambda digest: len(seeds[digest])):
            fits = self._fits(digest) and digest not in self._failed
            if fits and len(seeds[digest]) <= self._most:
                others = (s % 2**32 for s in range(self._recipe.seed, 2**33))
                return self._job(digest, next(s for s in others if s not in seeds[digest]))
        return None

    def _member(self, digest: str, metrics: Metrics, done: list[Metrics]) -> Member:
        latencies = [metrics[metric.name] for metric in self._setup.objectives[1:]]
        return Member(digest, tuple(t["accuracy"] for t in done), tuple(latencies))

    def _seeds(self, digest: str) -> set[int]:
        return {training.seed for training in self._under_way if training.digest == digest}

    def _fits(self, digest: str) -> bool:
        left = self._clock.left()
        return left is None or left > _SLACK * self._recipe.epochs * self._seconds[digest]

    def _job(self, digest: str, seed: int) -> Job[_Training]:
        training = _Training(digest, seed)
        self._under_way.add(training)
        repeat = Repeat(self._setup.data, replace(self._recipe, seed=seed))
        return Job(training, partial(repeat, self._archs[digest], self._setup.task))

    def _goes_on(self, training: _Training, report: Report) -> bool:
        self._clock.keep()
        if "test_accuracy" in report.metrics:
            self._tested[training] = dict(report.metrics)
            return True
        stage = f"seed {training.seed}, epoch {report.step}/{self._recipe.epochs}"
        self._progress.stage(training.digest, stage, report.metrics)
        return self._clock.left() != 0

    def _ended(self, training: _Training, reason: str | None) -> None:
        digest, seed = training
        self._under_way.remove(training)
        tested = self._tested.pop(training, None)
        if reason is not None:
            self._failed.add(digest)
        elif tested:
            found = with_training(self._measured()[digest], self._recipe.seed, seed, tested)
            keep_metrics(self._models, digest, found)
        outcome = "failed" if reason else "complete" if tested else "stopped"
        self._progress.ended(digest, outcome, tested or {}, reason or f"repeat with seed {seed}")


def trainings(metrics: Mapping[str, Any], seed: int) -> list[Metrics]:
    """Return a finalist's trainings; the only one, if it was not repeated, was with `seed`."""
    first = {"seed": seed, **{name: metrics[name] for name in ("accuracy", "test_accuracy")}}
    return list(metrics.get("trainings", [first]))


def with_training(
    metrics: Mapping[str, Any], first: int, seed: int, tested: Mapping[str, float]
) -> Metrics:
    """Return a finalist's metrics with another training, and the means and deviations of all.

    Args:
        metrics: before.
        first: seed of the training that was exported.
        seed: of the other one.
        tested: what came of it.
    """
    every = sorted([*trainings(metrics, first), {"seed": seed, **tested}], key=lambda t: t["seed"])
    found: Metrics = {**metrics, "trainings": every, "seeds": len(every)}
    for name in ("accuracy", "test_accuracy"):
        values = [training[name] for training in every]
        found |= {f"{name}_mean": fmean(values), f"{name}_sd": stdev(values)}
    return found
