"""The near end: Tune asks the study what to try, and tells it what came of it.

Tune has its own idea of a search. Here it only starts, watches and restarts trials: what is tried,
how long, and what is made of it is decided by who called `RayExecutor.run`.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ray.tune import Stopper
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from evaluators.child import WorkerError
from evaluators.evaluator import Report
from evaluators.ledger import receive

from ._message import work_to_json
from ._ray_cluster import RETRIES
from ._ray_worker import BUG, FAILURE, FILES, JOB, REPORT, SPENT
from .local import Crash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ray.tune.experiment import Trial

    from .local import Job

J = TypeVar("J")


@dataclass
class _Given(Generic[J]):
    """A job that Tune has been given, and what became of it so far."""

    job: Job[J]
    step: int = 0  # the last one that was reported
    lost: int = 0  # workers


class StudySearcher(Searcher, Generic[J]):
    """Suggests jobs and hears of their ends.

    A job whose worker is lost is suggested again, as another trial of Tune's: that would try again
    only what has begun, not what it has just given to a worker that was lost while idle.

    Args:
        next_job: as `LocalExecutor.run` has it, and so are the others.
        on_report: likewise.
        on_end: likewise.
        note: told of each worker that is lost.
    """

    def __init__(
        self,
        next_job: Callable[[], Job[J] | None],
        on_report: Callable[[J, Report], bool],
        on_end: Callable[[J, str | None], None],
        note: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._next_job, self._on_report, self._on_end = next_job, on_report, on_end
        self._note = note
        self._given: dict[str, _Given[J]] = {}  # what is under way, by Tune's trial
        self._again: list[_Given[J]] = []  # what has lost its worker
        self._waiting = False  # for an end, before `next_job` is asked again
        self.finished = False  # whether there is nothing left to do
        self._alive = False  # whether any worker has ever answered
        self.error: Exception | None = None  # what ended the search
        self.lost = ""  # of what the last worker died

    def suggest(  # type: ignore[override]  # Tune's own annotation leaves out FINISHED
        self, trial_id: str
    ) -> dict[str, Any] | str | None:
        """Return the next job, None to be asked again later, or that there are none."""
        if self.error:
            return None
        with self._kept_error():
            given = self._next()
            if given is not None:
                work, files = given.job.work, given.job.files
                message = work_to_json(work, files.folder if files else None)
                self._given[trial_id] = given
                return {JOB: message, FILES: files}
        self._waiting = True
        self.finished = not self._given and not self.error
        return Searcher.FINISHED if self.finished else None

    def _next(self) -> _Given[J] | None:
        if self._again:
            return self._again.pop(0)
        if self._waiting and self._given:
            return None
        job = self._next_job()
        return None if job is None else _Given(job)

    def goes_on(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Pass a report on and return the answer; what a retry repeats was answered before."""
        self._alive = True
        receive(json.loads(result.get(SPENT, "{}")))
        if REPORT not in result:
            return not result.get("done", False)
        step, metrics = json.loads(result[REPORT])
        given = self._given[trial_id]
        if step <= given.step:
            return True
        given.step = step
        with self._kept_error():
            return self._on_report(given.job.key, Report(step, metrics))
        return False

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Pass the end of a job on, once; an error is that of a worker that was lost."""
        if trial_id not in self._given or self.error:
            return
        given, result = self._given.pop(trial_id), result or {}
        if error:
            with self._kept_error():
                self._lose(given)
            return
        self._waiting = False
        if REPORT not in result:  # that was received when it came
            receive(json.loads(result.get(SPENT, "{}")))
        with self._kept_error():
            if BUG in result:
                raise Crash(result[BUG])
            self._on_end(given.job.key, result.get(FAILURE))

    def _lose(self, given: _Given[J]) -> None:
        given.lost += 1
        if given.lost <= RETRIES:
            self._again.append(given)
            self._note(f"a worker was lost; what it had begins again ({given.lost} of {RETRIES})")
        elif self._alive:
            self._waiting = False
            self._on_end(given.job.key, f"its worker was lost {given.lost} times")
        else:
            raise WorkerError(f"workers on the Ray cluster cannot start: {self.lost}")

    @contextmanager
    def _kept_error(self) -> Iterator[None]:
        """Keep an error from Tune, which would log it and go on: `run` raises it."""
        try:
            yield
        except Exception as error:
            self.error = error

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the run folder is the record."""

    def restore(self, checkpoint_path: str) -> None:
        """Restore nothing, likewise."""

    def __getstate__(self) -> dict[str, Any]:
        """Pickle nothing, likewise."""
        return {}


class Answering(FIFOScheduler):
    """Lets the study say after each report whether the job goes on, for any number of objectives.

    Args:
        searcher: asked.
    """

    def __init__(self, searcher: StudySearcher[Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._searcher = searcher

    def on_trial_result(self, _: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Stop a job after a no."""
        goes_on = self._searcher.goes_on(trial.trial_id, result)
        return str(TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP)

    def on_trial_error(self, _: Any, trial: Trial) -> None:
        """Keep the last line of what went wrong with a worker."""
        lines = str(trial.get_error() or "").strip().splitlines()
        self._searcher.lost = lines[-1] if lines else "it said nothing"

    def choose_trial_to_run(self, _: Any) -> None:
        """Leave the order to Tune: the base class walks through all trials that ever were."""


class OnError(Stopper):
    """Ends all trials once something has gone wrong in the study.

    Args:
        searcher: knows.
    """

    def __init__(self, searcher: StudySearcher[Any]) -> None:
        self._searcher = searcher

    def __call__(self, *_: Any) -> bool:
        """Stop no single trial."""
        return False

    def stop_all(self) -> bool:
        """Say whether it is over."""
        return self._searcher.error is not None
