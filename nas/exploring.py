"""The first phase of a search: propose, measure, train, tell."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from evaluators.accuracy import Accuracy
from search_spaces.errors import CandidateError

from .baselines import one_family_each
from .executors.local import Job
from .halving import Halving
from .runs import write_table
from .setup import GOALS, OBJECTIVES

if TYPE_CHECKING:
    from pathlib import Path

    from evaluators.evaluator import Report

    from .clock import Clock
    from .progress import Progress
    from .setup import Setup
    from .study import Candidate, Outcome, Study

SHARE = 0.5  # of the time; the rest trains the finalists


class Exploration:
    """The candidates under way, and what is known of them so far."""

    def __init__(
        self, setup: Setup, study: Study, clock: Clock, directory: Path, progress: Progress
    ) -> None:
        self._setup, self._study, self._clock = setup, study, clock
        self._directory, self._progress = directory, progress
        self._config = setup.config
        self._halving = Halving(setup.epochs, GOALS)
        self._known: dict[int, dict[str, float]] = {}  # metrics by candidate's number
        self._curves: dict[int, list[float]] = {}  # accuracies by epoch, likewise
        for curve, metrics in study.curves():  # of an earlier sitting
            for epoch, accuracy in enumerate(curve, start=1):
                self._halving.goes_on(epoch, [accuracy, metrics["latency_ms"]])

    def run(self) -> None:
        """Explore until the time is up, there are enough candidates, or the space is exhausted."""
        if self._config.warm_start and not self._study.asked:
            for arch in one_family_each(self._setup.space, self._setup.inside.allows):
                self._study.enqueue(arch)
        with self._clock.phase("search"):
            self._setup.executor.run(self._next_job, self._goes_on, self._trained)

    def _next_job(self) -> Job[Candidate] | None:
        """Return the next candidate that is worth training."""
        while not self._over():
            candidate = self._study.ask()
            if candidate is None:
                self._progress.note("every architecture of the space has been tried")
                return None
            if self._measure(candidate):
                accuracy = Accuracy(self._setup.data, self._setup.recipe(self._setup.epochs))
                return Job(candidate, partial(accuracy, candidate.arch, self._setup.task))
        return None

    def _over(self) -> bool:
        enough = self._config.trials is not None and self._study.asked >= self._config.trials
        return enough or self._clock.left(SHARE) == 0

    def _measure(self, candidate: Candidate) -> bool:
        """Measure a candidate's latency and say whether it should be trained."""
        self._progress.stage(str(candidate.number), "measuring", {})
        try:
            report = next(iter(self._setup.screening(candidate.arch, self._setup.task)))
        except CandidateError as error:
            self._tell(candidate, "failed", {}, str(error))
            return False
        metrics, limit = dict(report.metrics), self._config.budget_latency
        if limit is not None and metrics["latency_ms"] > limit:
            reason = f"latency {metrics['latency_ms']:.3g} ms is over {limit:.3g} ms"
            self._tell(candidate, "infeasible", metrics, reason)
            return False
        self._known[candidate.number] = metrics
        self._progress.stage(str(candidate.number), "training", metrics)
        return True

    def _goes_on(self, candidate: Candidate, report: Report) -> bool:
        metrics = self._known[candidate.number]
        metrics |= {**report.metrics, "epochs": report.step}
        self._curves.setdefault(candidate.number, []).append(metrics["accuracy"])
        stage = f"epoch {report.step}/{self._setup.epochs}"
        self._progress.stage(str(candidate.number), stage, metrics)
        objectives = [metrics[metric.name] for metric in OBJECTIVES]
        return self._halving.goes_on(report.step, objectives) and self._clock.left(SHARE) != 0

    def _trained(self, candidate: Candidate, reason: str | None) -> None:
        metrics = self._known.pop(candidate.number)
        if reason is not None:
            self._tell(candidate, "failed", metrics, reason)
        else:
            whole = metrics["epochs"] == self._setup.epochs
            self._tell(candidate, "complete" if whole else "stopped", metrics)

    def _tell(
        self, candidate: Candidate, outcome: Outcome, metrics: dict[str, float], reason: str = ""
    ) -> None:
        limit = self._config.budget_latency
        over = {"latency_ms": metrics["latency_ms"] - limit} if limit and metrics else {}
        curve = self._curves.pop(candidate.number, [])
        self._study.tell(candidate, outcome, metrics, reason=reason, constraints=over, curve=curve)
        self._progress.ended(str(candidate.number), outcome, metrics, reason)
        write_table(self._directory / "trials.csv", self._study.frame())
        self._clock.keep()
