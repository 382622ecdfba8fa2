"""Work that grows with a run, done so seldom that it takes a small share of the time."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SHARE = 0.03


class Seldom:
    """Calls a function, but the longer that took, the longer not again.

    Who needs it done at the end does it once more: a call that comes too soon is dropped.

    Args:
        function: the work.
        share: of the time, at most.
        now: a clock, in seconds.
    """

    def __init__(
        self,
        function: Callable[[], object],
        share: float = SHARE,
        now: Callable[[], float] = monotonic,
    ) -> None:
        self._function, self._share, self._now = function, share, now
        self._next = float("-inf")

    def __call__(self) -> None:
        """Do it, unless that is too soon."""
        begun = self._now()
        if begun >= self._next:
            self._function()
            ended = self._now()
            self._next = ended + (ended - begun) * (1 / self._share - 1)
