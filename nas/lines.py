"""A search as seen in a log or a pipe: phases and notes at once, the rest now and then."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from .tally import Tally, figures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PAUSE = 20.0  # seconds at least between two lines that only say how far it is


class Lines(Tally):
    """Plain lines.

    Args:
        write: is given each.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__()
        self._write = write
        self._written = monotonic()

    def phase(self, name: str) -> None:
        """See `Progress`."""
        anew = name != self._phase  # loading, where all begins, may end in an error: one line
        super().phase(name)
        if anew:
            self._say(self.so_far())

    def stage(self, label: str, stage: str, metrics: Mapping[str, float]) -> None:
        """See `Progress`."""
        self._say_seldom(label, stage, metrics)

    def ended(self, label: str, outcome: str, metrics: Mapping[str, float], reason: str) -> None:
        """See `Progress`."""
        self.count(label, metrics)
        self._say_seldom(label, outcome, metrics, reason)

    def note(self, text: str) -> None:
        """See `Progress`."""
        self._write(text)

    def _say_seldom(
        self, label: str, state: str, metrics: Mapping[str, float], reason: str = ""
    ) -> None:
        if monotonic() - self._written >= PAUSE:
            latest = f"{label} {state}", figures(metrics), reason
            self._say(" | ".join([self.so_far(), "  ".join(filter(None, latest))]))

    def _say(self, text: str) -> None:
        self._write(text)
        self._written = monotonic()
