import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest

from evaluators.evaluator import Report
from evaluators.ledger import drain, spending
from nas.executors.local import Crash, Job, LocalExecutor
from search_spaces.errors import CandidateError


@dataclass(frozen=True)
class Count:
    """Work that reports 1, 2, ... and may end badly after `good` reports."""

    good: int
    end: str = "well"

    def __call__(self):
        for step in range(1, self.good + 1):
            yield Report(step, {"pid": float(os.getpid())})
        if self.end == "candidate":
            raise CandidateError("the loss is nan")
        if self.end == "bug":
            raise ZeroDivisionError("a bug")
        if self.end == "killed":
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Busy:
    """Work that takes a twentieth of a second a report, twice."""

    def __call__(self):
        for step in (1, 2):
            with spending("working hard"):
                time.sleep(0.05)
            yield Report(step, {})


@dataclass(frozen=True)
class Raise:
    """Work that fails at once."""

    error: Exception

    def __call__(self):
        raise self.error
        yield


def run(works, workers=2, goes_on=lambda key, report: True):
    jobs = iter([Job(key, work) for key, work in enumerate(works)])
    reports, ends = {}, {}
    with LocalExecutor(workers) as executor:

        def listen(key, report):
            reports.setdefault(key, []).append(report)
            return goes_on(key, report)

        executor.run(lambda: next(jobs, None), listen, ends.__setitem__)
    return reports, ends


def test_where_workers_spend_their_time_is_known():
    drain()
    run([Busy(), Busy()], workers=1, goes_on=lambda key, report: key == 0)
    spent = drain()
    assert spent.own == {}
    assert spent.workers["working hard"] >= 3 * 0.05  # the second job was stopped after one
    assert spent.workers["starting"] > 0


def test_every_job_reports_and_ends():
    reports, ends = run([Count(3), Count(1), Count(2)])
    assert {key: [r.step for r in found] for key, found in reports.items()} == {
        0: [1, 2, 3],
        1: [1],
        2: [1, 2],
    }
    assert ends == {0: None, 1: None, 2: None}
    assert len({r.metrics["pid"] for found in reports.values() for r in found}) == 2


def test_a_job_is_stopped_by_a_no():
    reports, ends = run([Count(100)], goes_on=lambda _, report: report.step < 3)
    assert len(reports[0]) == 3
    assert ends == {0: None}


def test_an_end_may_leave_another_job_to_do():
    ended = []
    jobs = {0: Job(0, Count(5)), 1: Job(1, Count(1))}

    def next_job():
        if 0 in jobs:
            return jobs.pop(0)
        return jobs.pop(1, None) if ended else None  # it needs what the first one finds

    with LocalExecutor(2) as executor:
        executor.run(next_job, lambda *_: True, lambda key, _: ended.append(key))
    assert ended == [0, 1]


def test_a_failed_candidate_does_not_stop_the_others():
    _, ends = run([Count(1, "candidate"), Count(2)], workers=1)
    assert ends == {0: "the loss is nan", 1: None}


def test_a_killed_worker_takes_only_its_job_with_it():
    _, ends = run([Count(1, "killed"), Count(2), Count(2)], workers=1)
    assert ends == {0: "the worker process died (signal SIGKILL)", 1: None, 2: None}


def test_a_worker_killed_while_the_parent_answers_takes_only_its_job_with_it():
    def kill_first(key, report):
        if key == 0:
            os.kill(int(report.metrics["pid"]), signal.SIGKILL)
            time.sleep(0.1)
        return True

    _, ends = run([Count(3), Count(2)], workers=1, goes_on=kill_first)
    assert ends == {0: "the worker process died (signal SIGKILL)", 1: None}


def test_a_worker_killed_between_jobs_is_replaced():
    pids = []
    jobs = iter([Job(0, Count(1)), Job(1, Count(1))])

    def next_job():
        if len(pids) == 1:
            os.kill(pids[0], signal.SIGKILL)
            time.sleep(0.1)
        return next(jobs, None)

    ends = {}
    with LocalExecutor(1) as executor:
        executor.run(
            next_job,
            lambda _, report: pids.append(int(report.metrics["pid"])) or True,
            ends.__setitem__,
        )
    assert ends == {0: None, 1: None}
    assert len(set(pids)) == 2


@pytest.mark.parametrize("error", [OSError("disk full"), MemoryError("no memory")])
def test_lack_of_disk_or_memory_is_the_jobs_failure(error):
    _, ends = run([Raise(error), Count(1)], workers=1)
    assert ends == {0: str(error), 1: None}


def test_an_unguarded_script_is_refused_and_leaves_nothing(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import nas\nnas.search(nas.SearchConfig(trials=1, timeout=None, epochs=1))\n"
    )
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(script)]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | paths, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "under `if __name__ == '__main__':`" in done.stderr
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_a_bug_ends_the_run_with_its_traceback():
    with pytest.raises(Crash, match="ZeroDivisionError: a bug"):
        run([Count(1, "bug")])
