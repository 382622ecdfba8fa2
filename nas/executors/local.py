"""Worker processes on this machine, one thread each.

Two processes of one thread train more images a second than one process of two threads, and do not
stall when another program takes a core. A worker that dies takes only its own job with it.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from multiprocessing import current_process
from multiprocessing.connection import Connection, wait
from time import time
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from evaluators.child import GUARD, WorkerError, exit_text, spawn
from evaluators.evaluator import Report
from evaluators.ledger import drain, receive
from search_spaces.errors import NasError
from search_spaces.plugins import blame, loaded_plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from search_spaces.plugins import Plugin


class Work(Protocol):
    """A picklable evaluation: calling it yields reports."""

    def __call__(self) -> Iterator[Report]:
        """Yield reports."""


J = TypeVar("J")


@dataclass(frozen=True)
class Files:
    """What a job has to do with the run folder, for workers on machines that do not see it.

    Attributes:
        folder: where the paths of the work lead, absolute.
        needs: names, within it, of the files that the work reads if they are there.
    """

    folder: Path
    needs: tuple[str, ...]


@dataclass
class Job(Generic[J]):
    """A piece of work, what the caller knows it by, and the files that it needs or leaves."""

    key: J
    work: Work
    files: Files | None = None


class Executor(Protocol):
    """Runs jobs side by side: processes of this machine, or a cluster.

    Used as a context manager: leaving it ends what it has started.
    """

    @property
    def workers(self) -> int:
        """How many jobs are under way at the same time."""

    def __enter__(self) -> Executor:
        """Make ready; what is ready already stays as it is."""

    def __exit__(self, *error: object) -> None:
        """End what was started."""

    def run(
        self,
        next_job: Callable[[], Job[J] | None],
        on_report: Callable[[J, Report], bool],
        on_end: Callable[[J, str | None], None],
    ) -> None:
        """See `LocalExecutor.run`."""


class Crash(RuntimeError):
    """A bug in our code met in a worker; it ends the search, with the worker's traceback."""


def refuse_unguarded_script() -> None:
    """Refuse to begin a search in a process that is only importing the script that began one.

    Raises:
        WorkerError: this is such a process.
    """
    if getattr(current_process(), "_inheriting", False):
        raise WorkerError(GUARD)


class LocalExecutor:
    """Runs jobs to their end, or until a report is answered with no.

    Args:
        workers: processes that work at the same time.
        deterministic: whether they refuse operations whose results vary from run to run.

    Use it as a context manager: leaving it ends the processes.
    """

    def __init__(self, workers: int, *, deterministic: bool = False) -> None:
        self.workers, self._deterministic = workers, deterministic
        self._idle: list[_Worker[Any]] = []
        self._busy: dict[Connection, _Worker[Any]] = {}

    def __enter__(self) -> LocalExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in [*self._idle, *self._busy.values()]:
            worker.end()
        self._idle, self._busy = [], {}

    def run(
        self,
        next_job: Callable[[], Job[J] | None],
        on_report: Callable[[J, Report], bool],
        on_end: Callable[[J, str | None], None],
    ) -> None:
        """Work until `next_job` returns None and all that was begun has ended.

        Args:
            next_job: called whenever a worker is free; after None it is asked again when another
                job has ended, for that may leave something to do.
            on_report: says whether the job goes on.
            on_end: told once a job, with a reason if it failed.

        Raises:
            Crash: a job raised what is neither a `NasError`, nor a lack of memory or disk, nor from
                a plugin.
        """
        try:
            self._work(next_job, on_report, on_end)
        except BaseException:  # what is under way is of no use to anybody
            self.__exit__()
            raise

    def _work(
        self,
        next_job: Callable[[], Job[J] | None],
        on_report: Callable[[J, Report], bool],
        on_end: Callable[[J, str | None], None],
    ) -> None:
        waiting = False  # for an end, before `next_job` is asked again
        while True:
            while not waiting and len(self._busy) < self.workers:
                job = next_job()
                waiting = job is None
                if job is not None:
                    worker = self._begin(job)
                    self._busy[worker.connection] = worker
            if not self._busy:
                return
            busy = len(self._busy)
            for connection in wait(list(self._busy)):
                self._listen(self._busy[connection], on_report, on_end)  # type: ignore[index]
            waiting = waiting and len(self._busy) == busy

    def _begin(self, job: Job[J]) -> _Worker[J]:
        """Give `job` to an idle worker, or to a new one where that has died meanwhile."""
        while self._idle:
            worker = self._idle.pop()
            try:
                worker.begin(job)
            except ConnectionError:
                worker.end()
            else:
                return worker
        worker = _Worker[J](self._deterministic)
        worker.begin(job)
        return worker

    def _listen(
        self,
        worker: _Worker[J],
        on_report: Callable[[J, Report], bool],
        on_end: Callable[[J, str | None], None],
    ) -> None:
        try:
            message, spent = worker.connection.recv()
            receive(spent)
            if message == _READY:
                worker.ready = True
                return
            if isinstance(message, Report):
                worker.connection.send(on_report(worker.key, message))
                return
        except (EOFError, ConnectionError):
            del self._busy[worker.connection]
            worker.end()
            if not worker.ready:
                raise WorkerError(f"a worker process could not start: {GUARD}") from None
            on_end(worker.key, f"the worker process died ({worker.exit_text()})")
            return
        del self._busy[worker.connection]
        self._idle.append(worker)
        if isinstance(message, _Bug):
            raise Crash(message.text)
        on_end(worker.key, message and message.reason)


_READY = "ready"


@dataclass(frozen=True)
class _Failure:
    reason: str


@dataclass(frozen=True)
class _Bug:
    text: str


class _Worker(Generic[J]):
    """The near end of a worker process."""

    key: J
    ready = False  # whether it has come so far as to take jobs

    def __init__(self, deterministic: bool) -> None:
        self._process, self.connection = spawn(_serve, loaded_plugins(), deterministic, time())

    def begin(self, job: Job[J]) -> None:
        self.key = job.key
        self.connection.send(job.work)

    def end(self) -> None:
        self._process.terminate()
        self._process.join()
        self.connection.close()

    def exit_text(self) -> str:
        return exit_text(self._process.exitcode)


def _serve(
    connection: Connection, plugins: tuple[Plugin, ...], deterministic: bool, begun: float
) -> None:
    """Run jobs as they come; the parent decides after each report and ends this process.

    Each message comes with the seconds by kind since the last one; `begun` is when this process
    was started, as `time()` tells it.
    """
    import torch

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(deterministic)
    for plugin in plugins:  # jobs are made of what they define
        plugin.load()
    try:
        connection.send((_READY, {"starting": time() - begun}))
        while True:
            work: Work = connection.recv()
            end = _run(work, connection)
            connection.send((end, drain().own))
    except (EOFError, ConnectionError):  # the parent is gone
        return


def _run(work: Work, connection: Connection) -> _Failure | _Bug | None:
    """Return None for a job that ended well or was stopped, a reason if its candidate failed."""
    try:
        for report in work():
            connection.send((report, drain().own))
            if not connection.recv():
                break
    except (EOFError, ConnectionError):  # the parent is gone
        raise
    except (NasError, OSError, MemoryError) as error:
        return _Failure(str(error) or type(error).__name__)
    except Exception as error:  # in a block of the user's own it costs its candidate only
        reason = blame(error)
        return _Failure(reason) if reason else _Bug(traceback.format_exc())
    return None
