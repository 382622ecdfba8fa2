"""How far a search is, in words."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from .columns import LATENCY, prefixes, target_name
from .progress import Progress
from .units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping


class Tally(Progress):
    """Counts what has ended, and remembers the best."""

    def __init__(self) -> None:
        self._begun = monotonic()
        self._seconds: float | None = None
        self._trials: int | None = None
        self._phase = "loading"
        self._count = 0
        self._counted: set[str] = set()  # a candidate ends once a rung
        self._best: tuple[float, str] | None = None

    def started(self, *, seconds: float | None, trials: int | None, done: int = 0) -> None:
        """See `Progress`."""
        self._begun, self._seconds, self._trials, self._count = monotonic(), seconds, trials, done

    def phase(self, name: str) -> None:
        """See `Progress`."""
        self._phase, self._best = name, None

    def count(self, label: str, metrics: Mapping[str, float]) -> None:
        """Take in what has ended."""
        self._count += self._phase == "search" and label not in self._counted
        self._counted.add(label)
        accuracy = metrics.get("accuracy")
        if accuracy is not None and (self._best is None or accuracy > self._best[0]):
            self._best = accuracy, label

    def so_far(self) -> str:
        """Return the phase, the time, the count and the best."""
        passed = monotonic() - self._begun
        words = [self._phase, f"{format_seconds(passed)} gone"]
        if self._seconds is not None:
            words.append(f"{format_seconds(self._seconds - passed)} left")
        if self._phase == "search":
            limit = f" of {self._trials}" if self._trials else ""
            words.append(f"{self._count}{limit} candidates")
        if self._best:
            words.append(f"best accuracy {self._best[0]:.2%} ({self._best[1]})")
        return " | ".join(words)


def figures(metrics: Mapping[str, float]) -> str:
    """Return the metrics that a reader wants to see while they come."""
    words = []
    if "accuracy" in metrics:
        words.append(f"accuracy {metrics['accuracy']:.2%}")
    if "test_accuracy" in metrics:
        words.append(f"test {metrics['test_accuracy']:.2%}")
    if "latency_ms" in metrics:
        words.append(f"{metrics['latency_ms']:.3g} ms")
    for prefix in prefixes(metrics):
        words.append(f"{metrics[prefix + LATENCY]:.3g} ms on {target_name(prefix)}")
    if "epochs" in metrics:
        words.append(f"{metrics['epochs']:.0f} epochs")
    return "  ".join(words)
