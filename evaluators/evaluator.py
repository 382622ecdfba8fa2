"""The contract of an evaluator: what says, step by step, what an architecture is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from search_spaces.errors import SpecError
from search_spaces.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from search_spaces.arch import Arch, Task


@dataclass(frozen=True)
class Metric:
    """A figure that an evaluator reports.

    Attributes:
        name: with its unit at the end, where it has one ("latency_ms").
        goal: whether less or more of it is better.

    Raises:
        SpecError: the goal is neither.
    """

    name: str
    goal: Literal["min", "max"]

    def __post_init__(self) -> None:
        if self.goal not in ("min", "max"):
            raise SpecError(f"`goal` (={self.goal!r}) of {self.name} must be 'min' or 'max'")


@dataclass(frozen=True)
class Report:
    """What is known after `step` steps (epochs, repeats) of an evaluation."""

    step: int
    metrics: Mapping[str, float]


class Evaluator(Protocol):
    """A frozen dataclass that can be called; hashable, printable and picklable.

    Calling it yields at least one `Report`; whoever listens may stop early by no longer asking.

    Raises:
        CandidateError: this architecture cannot be evaluated; others can.
    """

    metrics: ClassVar[tuple[Metric, ...]]

    def __call__(self, arch: Arch, task: Task) -> Iterator[Report]:
        """Yield what is known of `arch` on `task`, step by step."""


EVALUATORS: Registry[type[Evaluator]] = Registry("evaluator", "evaluators")
