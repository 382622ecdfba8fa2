"""The latency of an architecture as predicted, where that suffices; else as measured."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from .evaluator import EVALUATORS, Report
from .latency import Latency
from .latency_model import LatencyModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from search_spaces.arch import Arch, Task

    from .evaluator import Metric


@EVALUATORS.register("predicted-latency")
@dataclass(frozen=True)
class PredictedLatency:
    """Predicts from the latency cache; measures what is unknown there or too near to a limit.

    Metrics: those of `Latency`, and `latency_measured`, 0 for a prediction, whose
    `latency_low_ms` and `latency_high_ms` are the ends of its 90 % interval.

    Args:
        latency: how it is measured.
        limit_ms: a latency whose interval crosses this limit is measured.
    """

    latency: Latency = Latency()  # noqa: RUF009 - frozen
    limit_ms: float | None = None

    metrics: ClassVar[tuple[Metric, ...]] = Latency.metrics

    def __call__(self, arch: Arch, task: Task) -> Iterator[Report]:
        """Yield one report.

        Raises:
            TargetUnavailable: the device or its runtime is missing.
            CandidateError: the runtime refuses the network, or a part of it.
        """
        found = model_of(self.latency, task).predict(arch)
        if found and not (self.limit_ms and found.low_ms <= self.limit_ms < found.high_ms):
            ends = {"latency_low_ms": found.low_ms, "latency_high_ms": found.high_ms}
            yield Report(1, {"latency_ms": found.ms, **ends, "latency_measured": 0.0})
            return
        for report in self.latency(arch, task):
            yield Report(report.step, {**report.metrics, "latency_measured": 1.0})


@cache
def model_of(latency: Latency, task: Task) -> LatencyModel:
    """Return what the cache knows, as it was when this was first asked in this process."""
    return LatencyModel(latency, task)
