"""The latency of an architecture on a target, by pairs with the reference network."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from search_spaces.errors import CandidateError, SpecError

from .evaluator import EVALUATORS, Metric, Report
from .latency_cache import LatencyCache, default_path
from .pairs import read
from .program import program_of
from .reference import calibrated, reference_program
from .runtimes import GraphError
from .target import parse_target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from search_spaces.arch import Arch, Task

    from .latency_cache import Timing
    from .pairs import Program, Reading

log = logging.getLogger(__name__)

TOLERANCE = 0.03
SECONDS = 8.0


@EVALUATORS.register("latency")
@dataclass(frozen=True)
class Latency:
    """Time of one inference of a batch; the weights are random, the graph is that of an export.

    Metrics: `latency_ms` is the ratio to the reference times the reference's latency on the quiet
    device; `latency_low_ms` and `latency_high_ms` are the ends of the ratio's 95 % bootstrap
    interval, likewise; `latency_runs` counts the inferences that were timed; `latency_flagged` is 1
    if the interval stayed wider than `tolerance` or the machine was never quiet.

    Args:
        target: a device and its runtime, as `parse_target` reads it.
        tolerance: measuring ends when the interval is narrower than this share.
        seconds: measuring ends after this time.
        cache: file that keeps the reference's latency; default: in the user's cache folder.
    """

    target: str = "cpu"
    tolerance: float = TOLERANCE
    seconds: float = SECONDS
    cache: Path = field(default_factory=default_path)

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
        target = parse_target(self.target)
        usual = self.reference()  # first: its faults are not the candidate's
        try:
            reading = self.read(program_of(arch, task, target))
        except GraphError as error:
            raise CandidateError(f"{arch.digest}: {target}: {error}") from error
        if reading.flagged:
            share = (reading.high - reading.low) / reading.ratio
            log.info("%s: latency known to %.2g %% only: a noisy machine", arch.digest, 100 * share)
        yield Report(step=1, metrics=metrics_of(reading, usual))

    def read(self, program: Program) -> Reading:
        """Measure `program` against the reference.

        Raises:
            TargetUnavailable: the device or its runtime is missing.
            GraphError: the runtime refuses the model.
        """
        target, usual_ms = parse_target(self.target), self.reference().ms
        options = {"tolerance": self.tolerance, "seconds": self.seconds}
        return read(program, reference_program(target), target, usual_ms=usual_ms, **options)

    def reference(self) -> Timing:
        """Return the reference network's own latency on this device, measured at the first use."""
        target = parse_target(self.target)
        return calibrated(reference_program(target), LatencyCache(target, self.cache))

    def reference_pair(self) -> tuple[Program, Timing]:
        """Return the reference network, ready for the target, and its own latency."""
        return reference_program(parse_target(self.target)), self.reference()


def metrics_of(reading: Reading, usual: Timing) -> dict[str, float]:
    """Return `reading` in milliseconds, where the reference takes `usual`."""
    return {
        "latency_ms": reading.ratio * usual.ms,
        "latency_low_ms": reading.low * usual.ms,
        "latency_high_ms": reading.high * usual.ms,
        "latency_ratio": reading.ratio,
        "latency_runs": float(reading.runs),
        "latency_flagged": float(reading.flagged),
        "load_before": reading.load_before,
        "load_after": reading.load_after,
    }
