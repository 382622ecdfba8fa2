"""An evaluator in a process of its own, so that a crash is one candidate's failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch

from search_spaces.errors import CandidateError

from .child import ChildDied
from .ledger import spending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from search_spaces.arch import Arch, Task

    from .evaluator import Evaluator, Report

T = TypeVar("T")


class Caller(Protocol):
    """What runs functions in another process, as `Child` does."""

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """See `Child.call`."""


class Isolated:
    """The first report of an evaluator, from a process that is kept from call to call.

    Args:
        evaluator: what is asked.
        child: the process, which several may share.
    """

    def __init__(self, evaluator: Evaluator, child: Caller) -> None:
        self.evaluator = evaluator
        self.metrics = evaluator.metrics
        self._child = child

    def __call__(self, arch: Arch, task: Task) -> Iterator[Report]:
        """Yield one report.

        Raises:
            CandidateError: the evaluator cannot tell, or its process died of this architecture.
        """
        try:
            with spending("measuring"):
                report = self._child.call(_first_report, self.evaluator, arch, task)
        except ChildDied as error:
            raise CandidateError(f"{arch.digest}: {self.evaluator}: {error}") from error
        yield report


def _first_report(evaluator: Evaluator, arch: Arch, task: Task) -> Report:
    torch.set_num_threads(1)  # in this process, once and for all: the workers use the other cores
    return next(iter(evaluator(arch, task)))
