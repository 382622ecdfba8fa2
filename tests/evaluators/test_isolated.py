"""A runtime that crashes is one candidate's failure, named."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pytest

from evaluators.child import Child
from evaluators.evaluator import Metric, Report
from evaluators.isolated import Isolated
from search_spaces.arch import Arch, Task
from search_spaces.errors import CandidateError, NasError
from search_spaces.heads import Head
from search_spaces.stems import Stem

if TYPE_CHECKING:
    from collections.abc import Iterator

TASK = Task(5, (1, 28, 28))
GOOD, BAD = (Arch(Stem(width), (), Head()) for width in (8, 16))


@dataclass(frozen=True)
class Fragile:
    """An evaluator whose runtime crashes on one architecture, and refuses another task."""

    metrics: ClassVar[tuple[Metric, ...]] = (Metric("pid", "min"),)

    def __call__(self, arch: Arch, task: Task) -> Iterator[Report]:
        if task != TASK:
            raise NasError("no such task here")
        if arch == BAD:
            os.abort()
        yield Report(1, {"pid": float(os.getpid())})


def pid(evaluator: Isolated, arch: Arch) -> float:
    (report,) = evaluator(arch, TASK)
    return report.metrics["pid"]


def test_a_crash_is_a_failed_candidate_and_the_next_one_is_measured() -> None:
    evaluator = Isolated(Fragile(), Child())
    assert evaluator.metrics == Fragile.metrics
    first = pid(evaluator, GOOD)
    assert first == pid(evaluator, GOOD) != os.getpid()
    told = rf"^{BAD.digest}: Fragile\(\): the process died \(signal SIGABRT\)$"
    with pytest.raises(CandidateError, match=told):
        pid(evaluator, BAD)
    assert pid(evaluator, GOOD) != first


def test_other_errors_are_what_they_were() -> None:
    with pytest.raises(NasError, match="no such task here") as caught:
        next(Isolated(Fragile(), Child())(GOOD, Task(2, (1, 8, 8))))
    assert not isinstance(caught.value, CandidateError)
