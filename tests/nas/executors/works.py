"""Work that costs nothing, as a plugin brings it: workers load it from its contents."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evaluators.evaluator import Report
from search_spaces.errors import CandidateError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class Count:
    """Reports 1, 2, ..., and may end badly after `good` reports."""

    good: int
    end: str = "well"
    seconds: float = 0.0

    def __call__(self) -> Iterator[Report]:
        for step in range(1, self.good + 1):
            time.sleep(self.seconds)
            yield Report(step, {"pid": float(os.getpid())})
        if self.end == "candidate":
            raise CandidateError("the loss is nan")
        if self.end == "bug":
            raise ZeroDivisionError("a bug")
        if self.end == "killed":
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class KilledOnce:
    """Reports 1, 2 and 3; its process is killed after the second, the first time."""

    mark: Path

    def __call__(self) -> Iterator[Report]:
        for step in (1, 2, 3):
            yield Report(step, {"pid": float(os.getpid())})
            if step == 2 and not self.mark.exists():
                self.mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
