"""The latency of an architecture as this device measured it the first time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .evaluator import EVALUATORS, Report
from .latency import Latency
from .latency_cache import LatencyCache, Timing
from .target import parse_target

if TYPE_CHECKING:
    from collections.abc import Iterator

    from search_spaces.arch import Arch, Task

_TIMES = ("latency_ms", "latency_low_ms", "latency_high_ms")


@EVALUATORS.register("remembered-latency")
@dataclass(frozen=True)
class RememberedLatency(Latency):
    """Measures as `Latency` does, but an architecture only once: the latency cache has the figures.

    They are kept apart from the networks that predictions are fitted on, so that what a search has
    measured changes no prediction. Metrics: `latency_ms` with its interval, and `latency_flagged`.
    """

    def __call__(self, arch: Arch, task: Task) -> Iterator[Report]:
        """Yield one report.

        Raises:
            TargetUnavailable: the device or its runtime is missing.
            CandidateError: the runtime refuses the network.
        """
        cache = LatencyCache(parse_target(self.target), self.cache)
        key = f"remembered for {arch.on(task)}: {arch}"
        timing = cache.get(key)
        if timing is None:
            measured = next(iter(super().__call__(arch, task))).metrics
            cache.put(key, Timing(*(measured[name] for name in _TIMES)))
            timing = cache.get(key)
            assert timing  # another process's, if that was first
        wide = timing.high_ms - timing.low_ms > self.tolerance * timing.ms
        times = dict(zip(_TIMES, timing, strict=True))
        yield Report(1, {**times, "latency_flagged": float(wide)})
