"""What a search says while it works: silent by default; see `nas.live` and `nas.lines`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Progress:
    """The events of a search; the base class ignores them all."""

    def started(self, *, seconds: float | None, trials: int | None, done: int = 0) -> None:
        """A run begins that may take `seconds` and `trials`, of which some are `done`."""

    def phase(self, name: str) -> None:
        """Another phase of the run begins: "search" or "finalists"."""

    def stage(self, label: str, stage: str, metrics: Mapping[str, float]) -> None:
        """What `label` (a trial's number, a finalist's digest) is at: "measuring", "epoch 2/9"."""

    def ended(self, label: str, outcome: str, metrics: Mapping[str, float], reason: str) -> None:
        """`label` has ended as complete, stopped, paused, infeasible, screened or failed."""

    def note(self, text: str) -> None:
        """Something a user would like to know."""


SILENT = Progress()
