"""Waves: the same table for any number of workers, however quick they are."""

from functools import partial
from random import Random

import pytest

from evaluators.evaluator import Metric, Report
from nas.executors.local import Job
from nas.executors.waves import Waves
from nas.study import Study
from search_spaces.arch import Arch, Task
from search_spaces.spaces import SPACES

TASK = Task(10, (1, 28, 28))
OBJECTIVES = (Metric("accuracy", "max"), Metric("latency_ms", "min"))


def look_up(arch: Arch):
    cost = arch.cost(TASK)
    yield Report(1, {"accuracy": cost.params % 997 / 997, "latency_ms": cost.macs / 1e6})


def table(executor, trials=30):
    study = Study(SPACES["small"], TASK, OBJECTIVES, seed=3)
    metrics = {}

    def next_job():
        if study.asked == trials:
            return None
        candidate = study.ask()
        return Job(candidate, partial(look_up, candidate.arch))

    def goes_on(candidate, report):
        metrics[candidate.number] = report.metrics
        return True

    def ended(candidate, reason):
        assert reason is None
        study.tell(candidate, "complete", metrics[candidate.number])

    with executor:
        executor.run(next_job, goes_on, ended)
    return study.frame().to_csv()


def test_the_table_is_the_same_for_any_workers(unruly):
    tables = {table(Waves(unruly(workers, Random(workers)))) for workers in (1, 2, 4, 9)}
    assert len(tables) == 1
    assert table(unruly(4, Random(4))) not in tables


def test_ends_are_told_as_jobs_were_asked_for(unruly):
    work = partial(look_up, SPACES["small"].sample(Random(0)))
    jobs = iter([Job(key, work) for key in "abcde"])
    told = []
    Waves(unruly(3, Random(1)), size=4).run(
        lambda: next(jobs, None), lambda key, _: key != "b", lambda *end: told.append(end)
    )
    assert told == [("a", None), ("b", "stopped"), ("c", None), ("d", None), ("e", None)]


@pytest.mark.parametrize("workers", [1, 20])
def test_no_more_workers_than_jobs(unruly, workers):
    assert Waves(unruly(workers, Random(0)), size=4).workers == min(workers, 4)
