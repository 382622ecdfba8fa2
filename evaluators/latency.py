"""How long a network takes on a target, told from what else the machine is doing.

Whatever runs beside a measurement only adds time, so the quietest of many short rounds say what the
network itself takes; how far they agree says how well that is known. A target with one thread is
timed by that thread's own clock. See docs/latency.md.
"""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import cycle
from statistics import median
from time import perf_counter, sleep
from typing import TYPE_CHECKING, ClassVar

import torch

from search_spaces.errors import CandidateError, SpecError
from search_spaces.network import build

from .cores import cores, pinned
from .evaluator import EVALUATORS, Metric, Report
from .onnx_graph import Normalised
from .quiet import measuring
from .target import GraphError, parse_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from search_spaces.arch import Arch, Task

    from .target import Step, Target

log = logging.getLogger(__name__)

ROUNDS = 48  # at least, if there is time: enough to find some quiet ones beside a busy core
QUIET = 8  # rounds that must agree
PAUSE = 0.003  # s after a round, so that the rounds lie apart in time
ROUND = 0.002  # s that a round takes: shorter than the time slice of whatever disturbs it
TIMING = 0.0002  # s that one timing takes at least: a thousand times what reading the clock does
WARM_UP = 0.05  # s


@EVALUATORS.register("latency")
@dataclass(frozen=True)
class Latency:
    """Time of one inference of a batch; the weights are random, the graph is that of an export.

    Metrics: `latency_ms` is the median of the quietest rounds, each the median of its runs;
    `latency_low_ms` and `latency_high_ms` are the lowest and the highest of these rounds,
    `latency_spread_ms` half their difference; `runs` counts all inferences that were timed. One
    thread is pinned to one core during a round, to the next core in the next one.

    Args:
        target: a device and its runtime, as `parse_target` reads it.
        tolerance: measuring ends when low and high differ by less than this share.
        seconds: measuring ends after this time; if the rounds still differ, that is logged.
    """

    target: str = "cpu"
    tolerance: float = 0.02
    seconds: float = 1.0

    metrics: ClassVar[tuple[Metric, ...]] = (Metric("latency_ms", "min"),)

    def __post_init__(self) -> None:
        parse_target(self.target)
        if self.tolerance <= 0 or self.seconds <= 0:
            raise SpecError(
                f"`tolerance` (={self.tolerance}) and `seconds` (={self.seconds}) must be positive"
            )

    def __call__(self, arch: Arch, task: Task) -> Iterator[Report]:
        """Yield one report.

        Raises:
            TargetUnavailable: the device or its runtime is missing.
            CandidateError: the runtime refuses the network.
        """
        target, channels = parse_target(self.target), task.shape[0]
        example = torch.rand(target.batch, *task.shape, generator=torch.Generator().manual_seed(0))
        network = Normalised(build(arch, task), [0.5] * channels, [0.25] * channels)
        try:
            with target.prepare(network, example) as step, measuring():
                rounds, runs = self._sample(step, target)
        except GraphError as error:
            raise CandidateError(f"{arch.digest}: {target}: {error}") from error
        low, high = rounds[0], rounds[-1]
        if high - low > self.tolerance * low:
            log.info("%s: latency from %.3g to %.3g ms: a noisy machine", arch.digest, low, high)
        metrics = {
            "latency_ms": median(rounds),
            "latency_spread_ms": (high - low) / 2,
            "latency_low_ms": low,
            "latency_high_ms": high,
            "runs": float(runs),
        }
        yield Report(step=1, metrics=metrics)

    def _sample(self, step: Step, target: Target) -> tuple[list[float], int]:
        """Return the quietest rounds in ms, ascending, and the number of timed runs."""
        clock, pin = target.clock, target.threads == 1
        once = warm_up(step, clock)
        calls = max(1, round(TIMING / once))
        timings = min(5, max(1, round(ROUND / (calls * once))))
        end = perf_counter() + self.seconds
        rounds: list[float] = []
        for core in cycle(cores()):
            with pinned(core) if pin else nullcontext():
                step()  # refills the caches
                rounds.append(median(timed_ms(step, clock, calls) for _ in range(timings)))
            quiet = sorted(rounds)[:QUIET]
            enough = len(rounds) >= ROUNDS and quiet[-1] - quiet[0] <= self.tolerance * quiet[0]
            if enough or (len(rounds) >= QUIET and perf_counter() > end):
                break
            sleep(PAUSE)
        return quiet, len(rounds) * timings * calls


def warm_up(step: Step, clock: Callable[[], float]) -> float:
    """Run `step` a few times and return about how many seconds it takes."""
    end = perf_counter() + WARM_UP
    times = [timed_ms(step, clock, 1) for _ in range(3)]
    while perf_counter() < end:
        times.append(timed_ms(step, clock, 1))
    return min(times) / 1e3


def timed_ms(step: Step, clock: Callable[[], float], calls: int) -> float:
    """Return the mean time of `calls` runs in a row."""
    start = clock()
    for _ in range(calls):
        step()  # blocks until the device is done: the target's duty
    return 1e3 * (clock() - start) / calls
