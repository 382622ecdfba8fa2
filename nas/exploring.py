"""The first phase of a search: propose, measure, train from rung to rung, tell."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from evaluators.accuracy import Accuracy
from evaluators.ledger import spending
from search_spaces.errors import CandidateError

from .executors.local import Files, Job
from .families import one_family_each
from .halving import Halving
from .runs import write_table
from .seldom import Seldom
from .side_by_side import SideBySide
from .targets import excess, too_slow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from evaluators.evaluator import Report

    from .clock import Clock
    from .halving import Promotion
    from .progress import Progress
    from .setup import Setup
    from .study import Candidate, Study, Told
    from .telling import Outcome

SHARE = 0.5  # of the time; the rest trains the finalists
CHECKPOINTS = "checkpoints"  # in the run folder, of candidates that are paused


@dataclass
class _Known:
    """What is known of a candidate that is measured and has not ended: its metrics, its curve."""

    candidate: Candidate
    metrics: dict[str, float]
    curve: list[float] = field(default_factory=list)


class Exploration:
    """The candidates under way, and what is known of them so far."""

    def __init__(
        self, setup: Setup, study: Study, clock: Clock, directory: Path, progress: Progress
    ) -> None:
        self._setup, self._study, self._clock = setup, study, clock
        self._directory, self._progress = directory, progress
        self._config = setup.config
        self._halving = Halving(
            self._config.scheduler, len(setup.rungs), setup.goals, self._config.eta
        )
        self._known: dict[int, _Known] = {}  # by candidate's number
        self._under_way: dict[int, int] = {}  # the rung that a candidate is training to
        self._exhausted = False
        self._measuring: SideBySide[Candidate, Report] = SideBySide(setup.places)
        self._keep_table = Seldom(lambda: write_table(directory / "trials.csv", study.frame()))
        for told in study.told():  # of an earlier sitting
            self._recall(told)

    def run(self) -> None:
        """Explore until the time is up, there are enough candidates, or the space is exhausted."""
        if self._config.warm_start and not self._study.asked:
            for arch in one_family_each(self._setup.inside):
                self._study.enqueue(arch)
        with self._clock.phase("search"):
            try:
                self._setup.executor.run(self._next_job, self._goes_on, self._trained)
            finally:
                self._measuring.end()
            write_table(self._directory / "trials.csv", self._study.frame())
        shutil.rmtree(self._directory / CHECKPOINTS, ignore_errors=True)

    def _recall(self, told: Told) -> None:
        """Take up what an earlier sitting has found out about a candidate."""
        number = told.candidate.number
        first = self._halving.first(number)
        for rung, fidelity in enumerate(self._setup.rungs[first:], start=first):
            if fidelity.epochs <= len(told.curve):
                accuracy = {"accuracy": told.curve[fidelity.epochs - 1]}
                self._halving.reached(number, rung, self._objectives(told.metrics | accuracy))
        if told.outcome == "paused":
            self._known[number] = _Known(told.candidate, dict(told.metrics), list(told.curve))
        else:
            self._halving.left(number)

    def _next_job(self) -> Job[Candidate] | None:
        """Return a candidate that goes on to its next rung, else a new one to train."""
        while (goes_on := self._clock.left(SHARE) != 0) or self._measuring:
            if goes_on and (promotion := self._promotion()):
                self._halving.left(promotion.number)
                return self._job(self._known[promotion.number].candidate, promotion.rung)
            if goes_on and not self._measuring.full and not self._enough():
                self._begin()
            elif not self._measuring:
                return None
            elif candidate := self._measured():
                return self._job(candidate, self._halving.first(candidate.number))
        return None

    def _promotion(self) -> Promotion | None:
        idle = not self._under_way and not self._measuring
        return self._halving.next(last=self._enough() and idle, fits=self._in_time)

    def _in_time(self, promotion: Promotion) -> bool:
        """Return whether a promotion would come to its rung before the time is up.

        What is cut off tells little, and an epoch of many images runs far into the finalists' time.
        By the images per second of the training so far; validation and start are left out.
        """
        left, known = self._clock.left(SHARE), self._known[promotion.number]
        speed = known.metrics.get("images_per_s")
        if left is None or not speed:
            return True
        before, after = self._setup.rungs[promotion.rung - 1 : promotion.rung + 1]
        return after.epochs_since(before) * self._setup.train_images / speed <= left

    def _enough(self) -> bool:
        """Return whether no new candidate is wanted, or none can be had."""
        trials = self._config.trials
        return self._exhausted or (trials is not None and self._study.asked >= trials)

    def _job(self, candidate: Candidate, rung: int) -> Job[Candidate]:
        """Return the training of a candidate to `rung`, from the rung where it stands."""
        number, setup = candidate.number, self._setup
        self._under_way[number] = rung
        self._progress.stage(str(number), "training", self._known[number].metrics)
        rungs = setup.rungs[self._halving.first(number) : rung + 1]
        checkpoint = f"{CHECKPOINTS}/{candidate.arch.digest}.pt"
        files = Files(self._directory.absolute(), (checkpoint,))  # workers may be elsewhere
        recipe = setup.recipe(setup.epochs)
        accuracy = Accuracy(setup.data, recipe, rungs, files.folder / checkpoint)
        return Job(candidate, partial(accuracy, candidate.arch, setup.task), files)

    def _begin(self) -> None:
        """Ask for a candidate, score it, and begin to measure its latency."""
        with spending("sampling"):
            candidate = self._study.ask()
        if candidate is None:
            self._progress.note("every architecture of the space has been tried")
            self._exhausted = True
            return
        self._progress.stage(str(candidate.number), "measuring", {})
        known = self._known[candidate.number] = _Known(candidate, {})
        try:
            if self._screened(known):
                return
        except CandidateError as error:
            self._tell(candidate, "failed", str(error))
            return
        setup, arch = self._setup, candidate.arch
        self._measuring.begin(candidate, lambda: next(iter(setup.screening(arch, setup.task))))

    def _measured(self) -> Candidate | None:
        """Return a candidate that is measured, unless it should not be trained."""
        with spending("measuring"):
            candidate, report = self._measuring.take()
        known = self._known[candidate.number]
        try:
            known.metrics |= report.result().metrics
        except CandidateError as error:
            self._tell(candidate, "failed", str(error))
            return None
        if reason := too_slow(self._setup.targets, known.metrics):
            self._tell(candidate, "infeasible", reason)
            return None
        return candidate

    def _screened(self, known: _Known) -> bool:
        """Say whether a candidate is ruled out by its training-free score, and tell so."""
        sieve = self._setup.sieve
        if sieve is None:
            return False
        known.metrics[sieve.proxy] = sieve.score(known.candidate.arch)
        if reason := sieve.too_bad(known.candidate.arch, known.metrics):
            self._tell(known.candidate, "screened", reason)
        return bool(reason)

    def _objectives(self, metrics: Mapping[str, float]) -> list[float]:
        return [metrics[metric.name] for metric in self._setup.objectives]

    def _goes_on(self, candidate: Candidate, report: Report) -> bool:
        known = self._known[candidate.number]
        known.metrics |= {**report.metrics, "epochs": report.step}
        if self._config.deterministic:
            del known.metrics["images_per_s"]  # the one figure that no two runs share
        known.curve[report.step - 1 :] = [known.metrics["accuracy"]]
        stage = f"epoch {report.step}/{self._setup.epochs}"
        self._progress.stage(str(candidate.number), stage, known.metrics)
        return self._clock.left(SHARE) != 0

    def _trained(self, candidate: Candidate, reason: str | None) -> None:
        known, rung = self._known[candidate.number], self._under_way.pop(candidate.number)
        if reason is not None:
            self._tell(candidate, "failed", reason)
        elif len(known.curve) < self._setup.rungs[rung].epochs:  # the time is up
            self._tell(candidate, "stopped")
        else:
            self._halving.reached(candidate.number, rung, self._objectives(known.metrics))
            top = rung == len(self._setup.rungs) - 1
            self._tell(candidate, "complete" if top else "paused")

    def _tell(self, candidate: Candidate, outcome: Outcome, reason: str = "") -> None:
        known = self._known[candidate.number]
        metrics, over = known.metrics, excess(self._setup.targets, known.metrics)
        if self._setup.sieve is not None:
            over |= self._setup.sieve.excess(candidate.arch, metrics)
        with spending("recording"):
            self._study.tell(
                candidate, outcome, metrics, reason=reason, constraints=over, curve=known.curve
            )
            self._keep_table()
        if outcome != "paused":
            del self._known[candidate.number]
        self._progress.ended(str(candidate.number), outcome, metrics, reason)
        self._remove_checkpoints()
        self._clock.keep()

    def _remove_checkpoints(self) -> None:
        """Remove those that are not likely to be gone on with; if they are, they train anew."""
        needed = self._halving.near() | self._under_way.keys()
        names = {f"{self._known[number].candidate.arch.digest}.pt" for number in needed}
        for file in (self._directory / CHECKPOINTS).glob("*.pt"):
            if file.name not in names:
                file.unlink(missing_ok=True)
