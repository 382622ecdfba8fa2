"""The main job: propose, measure, train, keep what is good, finish and export it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

import pandas as pd

from evaluators.accuracy import Accuracy
from evaluators.cores import cores
from evaluators.data import DataSpec, load
from evaluators.latency import Latency
from evaluators.recipe import Recipe
from evaluators.target import parse_target
from search_spaces.arch import Arch, Task
from search_spaces.budget import Budget, narrowest
from search_spaces.errors import BudgetError, CandidateError
from search_spaces.spaces import find_space, space_for

from .config import SearchConfig
from .executors.local import Job, LocalExecutor
from .finalists import Finish, choose_finalists, finished, plan
from .halving import Halving
from .pareto import non_dominated, recommend
from .progress import SILENT, Progress
from .report import write_report
from .runs import create_run, read_run, update_run, write_table
from .samplers import SAMPLERS
from .study import Candidate, Study

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from evaluators.evaluator import Report
    from search_spaces.space import Space

OBJECTIVES = (Accuracy.metrics[0], Latency.metrics[0])
GOALS = tuple(metric.goal for metric in OBJECTIVES)
_SEARCH_SHARE = 0.5  # of the time; the rest trains the finalists
_RESERVE = 0.9  # of the finalists' time that is planned: testing, exporting and noise take the rest


@dataclass(frozen=True)
class Result:
    """What a run folder holds.

    Attributes:
        directory: the run folder.
        trials: a row for each candidate.
        pareto: a row for each member of the final front, its models in `models/<digest>/`.
        recommended: digest of the member to take when nobody says more; None if there is no front.
        status: "complete" or "interrupted".
    """

    directory: Path
    trials: pd.DataFrame
    pareto: pd.DataFrame
    recommended: str | None
    status: str


def search(config: SearchConfig, out: Path | None = None, progress: Progress = SILENT) -> Result:
    """Search as `config` says, in a new run folder.

    Args:
        config: the options.
        out: the run folder; by default `runs/<time>`.
        progress: told what happens.

    Raises:
        NasError: bad options, data, space or folder, before anything is written.
    """
    setup = _Setup(config)  # finds what is wrong before a folder is made
    return _Run(setup, create_run(config, out), progress).go()


def resume(directory: Path, progress: Progress = SILENT) -> Result:
    """Go on with an interrupted or killed run; one that is complete is only reported again.

    Raises:
        NasError: not a run folder, or its data are gone.
    """
    setup = _Setup(SearchConfig.from_plain(read_run(directory)["config"]))
    return _Run(setup, directory, progress).go()


class _Setup:
    """A configuration's names looked up and held against each other."""

    def __init__(self, config: SearchConfig) -> None:
        self.config = config
        self.sampler = SAMPLERS[config.sampler]
        self.target = parse_target(config.target)
        space = find_space(config.space) if config.space else None
        self.data = DataSpec(
            config.data, config.data_dir, config.download, config.image_size, config.seed
        )
        images = load(self.data)
        self.train_images = len(images.train)
        self.task = Task(len(images.classes), images.shape)
        self.space: Space = space or space_for(images.shape)
        self.budget = Budget(config.budget_params, config.budget_macs, config.budget_size)
        for name in ("params", "macs", "size_bytes"):
            limit = getattr(self.budget, name)
            least = narrowest(self.space, self.task, name) if limit is not None else 0
            if limit is not None and least > limit:
                raise BudgetError(
                    f"budget `{name}` (={limit:,}) is below the narrowest architecture of space "
                    f"{self.space.name!r}, which has {least:,}"
                )


class _Run:
    """A run under way."""

    def __init__(self, setup: _Setup, directory: Path, progress: Progress) -> None:
        self.setup, self.config, self.task = setup, setup.config, setup.task
        self.directory, self.models = directory, directory / "models"
        self.progress = progress
        self.workers = self.config.workers or len(cores())
        self.study = Study(
            setup.space,
            setup.task,
            OBJECTIVES,
            sampler=self.config.sampler,
            budget=setup.budget,
            storage=f"sqlite:///{directory / 'study.db'}",
            seed=self.config.seed,
        )
        self.latency = Latency(self.config.target)
        self.seconds: dict[str, float] = read_run(directory)["seconds"]
        self.since = monotonic()
        self.halving = Halving(self.config.epochs, GOALS)
        self.measured: dict[int, dict[str, float]] = {}  # of candidates under way, by number

    def go(self) -> Result:
        """Search, finish, report; an interrupt keeps what has been found."""
        self.progress.started(seconds=self._left(1.0), trials=self.config.trials)
        status = "complete"
        update_run(
            self.directory,
            space=self.setup.space.name,
            task={"classes": self.task.classes, "shape": list(self.task.shape)},
            status="running",
        )
        try:
            self._search()
            self._finish()
        except KeyboardInterrupt:
            status = "interrupted"
            self.progress.note(f"interrupted; go on with: nas resume {self.directory}")
        return self._report(status)

    def _search(self) -> None:
        if read_run(self.directory).get("finalists"):
            return  # a resumed run that had come further
        self.progress.phase("search")
        with self._clock("search"), LocalExecutor[Candidate](self.workers) as executor:
            executor.run(self._next_job, self._goes_on, self._trained)

    def _next_job(self) -> Job[Candidate] | None:
        """Return the next candidate that is worth training."""
        while not self._time_is_up() and not self._enough():
            candidate = self.study.ask()
            if candidate is None:
                self.progress.note("every architecture of the space has been tried")
                return None
            if self._measure(candidate):
                recipe = Recipe(epochs=self.config.epochs, seed=self.config.seed)
                work = partial(Accuracy(self.setup.data, recipe), candidate.arch, self.task)
                return Job(candidate, work)
        return None

    def _measure(self, candidate: Candidate) -> bool:
        """Measure a candidate's latency and say whether it should be trained."""
        self.progress.stage(str(candidate.number), "measuring", {})
        try:
            metrics = dict(next(iter(self.latency(candidate.arch, self.task))).metrics)
        except CandidateError as error:
            self._tell(candidate, "failed", {}, str(error))
            return False
        limit = self.config.budget_latency
        if limit is not None and metrics["latency_ms"] > limit:
            reason = f"latency {metrics['latency_ms']:.3g} ms is over {limit:.3g} ms"
            self._tell(candidate, "infeasible", metrics, reason)
            return False
        self.measured[candidate.number] = metrics
        return True

    def _goes_on(self, candidate: Candidate, report: Report) -> bool:
        metrics = self.measured[candidate.number]
        metrics |= {**report.metrics, "epochs": report.step}
        self.progress.stage(
            str(candidate.number), f"epoch {report.step}/{self.config.epochs}", metrics
        )
        objectives = [metrics[metric.name] for metric in OBJECTIVES]
        return self.halving.goes_on(report.step, objectives) and not self._time_is_up()

    def _trained(self, candidate: Candidate, reason: str | None) -> None:
        metrics = self.measured.pop(candidate.number)
        if reason is not None:
            self._tell(candidate, "failed", metrics, reason)
        else:
            whole = metrics["epochs"] == self.config.epochs
            self._tell(candidate, "complete" if whole else "stopped", metrics)

    def _tell(
        self, candidate: Candidate, outcome: Any, metrics: dict[str, float], reason: str = ""
    ) -> None:
        limit = self.config.budget_latency
        over = {"latency_ms": metrics["latency_ms"] - limit} if limit and metrics else {}
        self.study.tell(candidate, outcome, metrics, reason=reason, constraints=over)
        self.progress.ended(str(candidate.number), outcome, metrics, reason)
        write_table(self.directory / "trials.csv", self.study.frame())

    def _finish(self) -> None:
        """Train, test and export the finalists that are not yet finished."""
        self.progress.phase("finalists")
        digests, epochs = self._plan()
        rows = self.study.frame().set_index("digest")
        archs = [Arch.from_text(rows["arch"][d]) for d in digests]
        waiting = [arch for arch in archs if finished(self.models, arch.digest) is None]
        recipe = Recipe(epochs=epochs, seed=self.config.seed)
        finish = Finish(self.setup.data, recipe, self.models)
        jobs = iter([Job(arch, partial(finish, arch, self.task)) for arch in waiting])
        with self._clock("finalists"), LocalExecutor[Arch](self.workers) as executor:
            executor.run(
                lambda: next(jobs, None), partial(self._report_epoch, epochs), self._finished
            )

    def _plan(self) -> tuple[list[str], int]:
        """Return the finalists' digests and epochs, the same ones after a resume."""
        planned = read_run(self.directory).get("finalists")
        if planned is None:
            trials = self.study.frame()
            digests = choose_finalists(trials, self.config.finalists)
            speeds = trials.set_index("digest")["images_per_s"][digests].tolist() if digests else []
            times = [self.setup.train_images / speed for speed in speeds]
            left = self._left(1.0)
            seconds = None if left is None else left * _RESERVE
            count, epochs = plan(times, self.config.final_epochs, self.workers, seconds)
            planned = {"digests": digests[:count], "epochs": epochs}
            update_run(self.directory, finalists=planned)
        return planned["digests"], planned["epochs"]

    def _report_epoch(self, epochs: int, arch: Arch, report: Report) -> bool:
        self.progress.stage(arch.digest, f"epoch {report.step}/{epochs}", report.metrics)
        return True

    def _finished(self, arch: Arch, reason: str | None) -> None:
        metrics = finished(self.models, arch.digest) or {}
        outcome = "complete" if reason is None else "failed"
        self.progress.ended(arch.digest, outcome, metrics, reason or "")

    def _report(self, status: str) -> Result:
        trials = self.study.frame()
        pareto = self._front(trials)
        write_table(self.directory / "trials.csv", trials)
        write_table(self.directory / "pareto.csv", pareto)
        update_run(self.directory, status=status, seconds=self.seconds)
        write_report(self.directory)
        marked = pareto.loc[pareto["recommended"], "digest"]
        return Result(self.directory, trials, pareto, next(iter(marked), None), status)

    def _front(self, trials: pd.DataFrame) -> pd.DataFrame:
        """Return the front of the finished finalists, or before there are any, of the trials."""
        rows = []
        for digest in (read_run(self.directory).get("finalists") or {}).get("digests", []):
            metrics = finished(self.models, digest)
            if metrics is not None:
                row = trials[trials["digest"] == digest].iloc[0].to_dict()
                arch = Arch.from_text(row["arch"])
                self.progress.stage(digest, "measuring", {})
                latency = next(iter(self.latency(arch, self.task))).metrics
                rows.append(row | {"seconds": None} | dict(metrics) | dict(latency))
        found = trials[trials["state"].isin(["complete", "stopped"])]
        return front_of(pd.DataFrame(rows) if rows else found)

    def _enough(self) -> bool:
        return self.config.trials is not None and self.study.asked >= self.config.trials

    def _left(self, share: float) -> float | None:
        """Return the seconds left of a share of the whole time; None if there is no limit."""
        if self.config.timeout is None:
            return None
        used = sum(self.seconds.values()) + monotonic() - self.since
        return max(0.0, share * self.config.timeout - used)

    def _time_is_up(self) -> bool:
        return self._left(_SEARCH_SHARE) == 0

    @contextmanager
    def _clock(self, phase: str) -> Iterator[None]:
        """Add the time spent inside to the run's account, also if it is interrupted."""
        start = self.since = monotonic()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + monotonic() - start
            self.since = monotonic()
            update_run(self.directory, seconds=self.seconds)


PARETO_COLUMNS = (
    "digest", "arch", "params", "macs", "size_bytes", "latency_ms", "latency_spread_ms",
    "latency_low_ms", "latency_high_ms", "accuracy", "test_accuracy", "test_accuracy_low",
    "test_accuracy_high", "test_images", "epochs", "seeds", "recommended",
)  # fmt: skip


def front_of(found: pd.DataFrame) -> pd.DataFrame:
    """Return the non-dominated rows, the most accurate first, one of them marked as recommended."""
    found = found.reindex(columns=PARETO_COLUMNS)
    if found.empty:
        return found
    points = found[[metric.name for metric in OBJECTIVES]].to_numpy(dtype=float)
    front = found[non_dominated(points, GOALS)].sort_values("accuracy", ascending=False)
    return front.assign(recommended=front["digest"] == recommend(front)).reset_index(drop=True)
