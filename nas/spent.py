"""Where the time of a run went: its workers' by kind, and beside it what the search itself took."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from evaluators.ledger import drain

from .units import format_seconds

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN = 0.005  # of the workers' time; what is less is left out of the sentence


@dataclass(frozen=True)
class Account:
    """Seconds by kind, over all sittings.

    Attributes:
        workers: of all workers together: "starting", "loading" the images, "building" networks,
            "training", "waiting" while somebody measures, "testing", "exporting", and "idle", which
            is the rest of the time that there were.
        beside: of the process that leads them: "sampling", "scoring", "measuring",
            "recording".
    """

    workers: Mapping[str, float] = field(default_factory=dict)
    beside: Mapping[str, float] = field(default_factory=dict)

    def later(self, seconds: float, workers: int) -> Account:
        """Return the account after `seconds` in which there were so many workers."""
        spent = drain()
        idle = seconds * workers - sum(spent.workers.values())
        return Account(
            _sum(self.workers, spent.workers, {"idle": idle}), _sum(self.beside, spent.own)
        )

    def __str__(self) -> str:
        """Return a sentence; what comes to little is left out."""
        total = sum(self.workers.values())
        if total <= 0:
            return "no time was spent"
        busy = sorted(self.workers.items(), key=lambda item: (item[0] == "idle", -item[1]))
        shares = [f"{kind} {s / total:.0%}" for kind, s in busy if s >= _SHOWN * total]
        beside = [f"{kind} {format_seconds(s)}" for kind, s in self.beside.items() if s >= 1]
        text = f"{format_seconds(total)} of the workers: {', '.join(shares)}"
        return f"{text}; beside them {', '.join(beside)}" if beside else text

    @classmethod
    def of_run(cls, run: Mapping[str, Any]) -> Account:
        """Return the account in the contents of a `run.json`; an empty one if it has none."""
        return cls(**(run.get("spent") or {}))


def _sum(*parts: Mapping[str, float]) -> dict[str, float]:
    total: Counter[str] = Counter()  # of seconds: it adds floats as well
    for part in parts:
        total.update(part)
    return dict(total)
