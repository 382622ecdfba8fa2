"""The second phase of a search: the finalists are trained to the end, tested and exported."""

from __future__ import annotations

from functools import partial
from math import inf
from time import time
from typing import TYPE_CHECKING, Any

from evaluators.ledger import spending
from evaluators.program import program_of
from evaluators.target import parse_target
from search_spaces.errors import CandidateError, NasError

from .executors.local import Job
from .finalists import Finish, choose_finalists, finished, keep_metrics, only_predicted, plan
from .repeats import Repeats
from .runs import read_run, update_run
from .targets import too_slow

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from evaluators.evaluator import Report
    from search_spaces.arch import Arch

    from .clock import Clock
    from .progress import Progress
    from .setup import Setup
    from .study import Study

_PLANNED = 0.9  # of the time that is left; testing, exporting and noise take the rest


class Finals:
    """The finalists of a run: which, for how long, and what has become of them."""

    def __init__(
        self, setup: Setup, study: Study, clock: Clock, directory: Path, progress: Progress
    ) -> None:
        self._setup, self._study, self._clock = setup, study, clock
        self._directory, self._models = directory, (directory / "models").absolute()
        self._progress = progress
        self._refused: set[str] = set()  # digests of which a target says that it cannot run them

    @property
    def chosen(self) -> list[str] | None:
        """The finalists' digests, or None before they are chosen."""
        planned = read_run(self._directory).get("finalists")
        return planned and list(planned["digests"])

    def run(self) -> None:
        """Train, test, export and measure the finalists that are not finished yet."""
        with self._clock.phase("finalists"):
            self._run()

    def _run(self) -> None:
        self._measure()  # what a kill left unmeasured
        digests, epochs = self._plan()
        self._train(digests, epochs)
        self._repeat(digests, epochs)

    def _train(self, digests: list[str], epochs: int) -> None:
        archs = self._study.archs()
        waiting = [archs[d] for d in digests if finished(self._models, d) is None]
        left = self._clock.left()
        deadline = inf if left is None else time() + left
        recipe, formats = self._setup.recipe(epochs), self._setup.formats
        finish = Finish(self._setup.data, recipe, self._models, deadline, formats)
        task = self._setup.task
        jobs = iter([Job(a, partial(finish, a, task), finish.files(a)) for a in waiting])
        self._setup.executor.run(
            lambda: next(jobs, None), partial(self._epoch, epochs), self._ended
        )

    def _repeat(self, digests: list[str], epochs: int) -> None:
        """Repeat trainings where that may change the front; a run that is complete has done so."""
        planned = read_run(self._directory)["finalists"]
        if not planned.get("repeated"):
            seconds = self._epoch_seconds(self._study.frame(), digests)
            recipe, archs = self._setup.recipe(epochs), self._study.archs()
            about = self._setup, self._clock, self._progress, self._models, recipe, archs
            Repeats(*about, seconds, self._measured).run()
            update_run(self._directory, finalists=planned | {"repeated": True})

    def _measure(self) -> None:
        """Measure the finished finalists' latency, once: a resumed run keeps its figures."""
        archs = self._study.archs()
        for digest, metrics in self._finished():
            if "latency_ms" not in metrics and digest not in self._refused:
                self._progress.stage(digest, "measuring", {})
                latency = self._latency(archs[digest])
                if latency is None:
                    continue
                where = self._setup.about_targets()
                found = {**metrics, **latency, **self._footprint(archs[digest]), **where}
                keep_metrics(self._models, digest, found)
                if reason := too_slow(self._setup.targets, latency):
                    self._progress.note(f"{digest} is left out: measured again, its {reason}")

    def _latency(self, arch: Arch) -> Mapping[str, float] | None:
        """Measure a latency; None if that cannot be done, which costs no other finalist."""
        try:
            return next(iter(self._setup.latency(arch, self._setup.task))).metrics
        except CandidateError as error:
            self._progress.note(f"{arch.digest} is left out: {error}")
            self._refused.add(arch.digest)
            return None

    def _footprint(self, arch: Arch) -> dict[str, float]:
        """Return what an inference takes beside time, as far as that can be told."""
        target = parse_target(self._setup.targets[0].text)
        try:
            with spending("measuring"):
                return self._setup.footprint(program_of(arch, self._setup.task, target))
        except NasError as error:  # it ran a moment ago; what is left out costs no finalist
            self._progress.note(f"{arch.digest}: memory and energy were not measured: {error}")
            return {}

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each measured finalist within the latency budget."""
        archs = self._study.archs()
        return [self._costs(archs[digest]) | found for digest, found in self._measured().items()]

    def _measured(self) -> dict[str, dict[str, Any]]:
        """Return the metrics of the measured finalists within the latency budget, by digest."""
        return {
            digest: dict(metrics)
            for digest, metrics in self._finished()
            if "latency_ms" in metrics and not too_slow(self._setup.targets, metrics)
        }

    def _finished(self) -> list[tuple[str, Mapping[str, Any]]]:
        found = [(digest, finished(self._models, digest)) for digest in self.chosen or []]
        return [(digest, metrics) for digest, metrics in found if metrics is not None]

    def _costs(self, arch: Arch) -> dict[str, Any]:
        cost = arch.cost(self._setup.task)
        costs = {name: getattr(cost, name) for name in ("params", "macs", "size_bytes")}
        sized = {"resolution": arch.resolution} if arch.resolution else {}
        return {"digest": arch.digest, "arch": str(arch), **sized, **costs}

    def _plan(self) -> tuple[list[str], int]:
        """Return the finalists' digests and epochs, the same ones after a resume."""
        planned = read_run(self._directory).get("finalists")
        if planned is None:
            trials, config = self._measured_front(), self._setup.config
            digests = choose_finalists(trials, config.finalists, self._setup.objectives)
            times = list(self._epoch_seconds(trials, digests).values())
            left = self._clock.left()
            seconds = None if left is None else left * _PLANNED
            workers = self._setup.executor.workers
            count, epochs = plan(times, self._setup.final_epochs, workers, seconds)
            planned = {"digests": digests[:count], "epochs": epochs}
            update_run(self._directory, finalists=planned)
        return planned["digests"], planned["epochs"]

    def _epoch_seconds(self, trials: pd.DataFrame, digests: list[str]) -> dict[str, float]:
        """Return how long an epoch of each takes one worker."""
        known = trials.set_index("digest").reindex(digests, columns=["images_per_s"])
        times = self._setup.train_images / known["images_per_s"]
        return dict(zip(digests, times.tolist(), strict=True))

    def _measured_front(self) -> pd.DataFrame:
        """Return the trials, with the latency of all on the front measured and within the limit."""
        trials, archs = self._study.frame(), self._study.archs()
        targets = self._setup.targets
        while predicted := only_predicted(trials, self._setup.objectives):
            for digest in predicted:
                self._progress.stage(digest, "measuring", {})
                metrics = self._latency(archs[digest])
                row = trials["digest"] == digest
                if metrics is None or too_slow(targets, metrics):
                    trials = trials[~row]
                    continue
                for target in targets:
                    trials.loc[row, target.column] = metrics[target.column]
                    trials.loc[row, f"{target.prefix}latency_measured"] = 1.0
        return trials

    def _epoch(self, epochs: int, arch: Arch, report: Report) -> bool:
        self._clock.keep()
        self._progress.stage(arch.digest, f"epoch {report.step}/{epochs}", report.metrics)
        return True

    def _ended(self, arch: Arch, reason: str | None) -> None:
        self._measure()
        metrics = finished(self._models, arch.digest) or {}
        outcome = "complete" if reason is None else "failed"
        self._progress.ended(arch.digest, outcome, metrics, reason or "")
