"""The near end: Tune asks the study what to try, and tells it what came of it.

Tune has its own idea of a search. Here it only starts, watches and restarts trials: what is tried,
how long, and what is made of it is decided by who called `RayExecutor.run`.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
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


class StudySearcher(Searcher, Generic[J]):
    """Suggests jobs and hears of their ends.

    Args:
        next_job: as `LocalExecutor.run` has it, and so are the others.
        on_report: likewise.
        on_end: likewise.
    """

    def __init__(
        self,
        next_job: Callable[[], Job[J] | None],
        on_report: Callable[[J, Report], bool],
        on_end: Callable[[J, str | None], None],
    ) -> None:
        super().__init__()
        self._next_job, self._on_report, self._on_end = next_job, on_report, on_end
        self._keys: dict[str, J] = {}  # of the jobs under way, by Tune's trial
        self._steps: dict[str, int] = {}  # the last one that was reported
        self._waiting = False  # for an end, before `next_job` is asked again
        self.finished = False  # whether there is nothing left to do
        self._alive = False  # whether any worker has ever answered
        self.error: Exception | None = None  # what ended the search
        self.lost = ""  # of what the last worker died

    def suggest(  # type: ignore[override]  # Tune's own annotation leaves out FINISHED
        self, trial_id: str
    ) -> dict[str, Any] | str | None:
        """Return the next job, None to be asked again later, or that there are none."""
        if self.error or (self._waiting and self._keys):
            return None
        with self._kept_error():
            job = self._next_job()
            if job is not None:
                message = work_to_json(job.work, job.files.folder if job.files else None)
                self._keys[trial_id] = job.key
                return {JOB: message, FILES: job.files}
        self._waiting = True
        self.finished = not self._keys and not self.error
        return Searcher.FINISHED if self.finished else None

    def goes_on(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Pass a report on and return the answer; what a retry repeats was answered before."""
        self._alive = True
        receive(json.loads(result.get(SPENT, "{}")))
        if REPORT not in result:
            return not result.get("done", False)
        step, metrics = json.loads(result[REPORT])
        if step <= self._steps.get(trial_id, 0):
            return True
        self._steps[trial_id] = step
        with self._kept_error():
            return self._on_report(self._keys[trial_id], Report(step, metrics))
        return False

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Pass the end of a job on, once."""
        if trial_id not in self._keys or self.error:
            return
        key = self._keys.pop(trial_id)
        self._steps.pop(trial_id, None)
        self._waiting = False
        result = result or {}
        if REPORT not in result:  # that was received when it came
            receive(json.loads(result.get(SPENT, "{}")))
        with self._kept_error():
            if BUG in result:
                raise Crash(result[BUG])
            if error and not self._alive:
                raise WorkerError(f"workers on the Ray cluster cannot start: {self.lost}")
            lost = f"its worker was lost {RETRIES + 1} times" if error else None
            self._on_end(key, lost or result.get(FAILURE))

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
