import os
import signal
from dataclasses import dataclass

import pytest

from evaluators.evaluator import Report
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


def run(works, workers=2, goes_on=lambda key, report: True):
    jobs = iter([Job(key, work) for key, work in enumerate(works)])
    reports, ends = {}, {}
    with LocalExecutor(workers) as executor:

        def listen(key, report):
            reports.setdefault(key, []).append(report)
            return goes_on(key, report)

        executor.run(lambda: next(jobs, None), listen, ends.__setitem__)
    return reports, ends


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


def test_a_failed_candidate_does_not_stop_the_others():
    _, ends = run([Count(1, "candidate"), Count(2)], workers=1)
    assert ends == {0: "the loss is nan", 1: None}


def test_a_killed_worker_takes_only_its_job_with_it():
    _, ends = run([Count(1, "killed"), Count(2), Count(2)], workers=1)
    assert ends == {0: "the worker process died (signal SIGKILL)", 1: None, 2: None}


def test_a_bug_ends_the_run_with_its_traceback():
    with pytest.raises(Crash, match="ZeroDivisionError: a bug"):
        run([Count(1, "bug")])
