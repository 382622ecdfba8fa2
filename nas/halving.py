"""Who trains on: successive halving and Hyperband by promotion, for one objective or several.

A candidate trains to a rung and pauses. It goes on as soon as it is among the best 1/eta of all
that have reached its rung so far, those of the highest rung first; else a new candidate begins, so
that no worker waits. Nothing here depends on the order in which results arrive.

Sources: ASHA, Li et al. 2020, arXiv:1810.05934, Algorithm 2; Hyperband, Li et al. 2018,
arXiv:1603.06560, whose brackets take turns here. Departure: where there are several objectives,
candidates are ordered by non-dominated rank and, within a rank, by the first objective, because
Optuna prunes no study with more than one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from .pareto import ranks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Goals = tuple[Literal["min", "max"], ...]
SCHEDULERS = {
    "asha": "the best 1/eta of each rung are promoted to the next",
    "hyperband": "likewise, but some candidates begin at a higher rung",
    "none": "every candidate is trained to the end",
}


class Promotion(NamedTuple):
    """A candidate that may go on, and to which rung."""

    number: int
    rung: int


class Halving:
    """What is known of the candidates at each rung, and who is next.

    Args:
        scheduler: one of `SCHEDULERS`.
        rungs: how many there are, the end of the training included.
        goals: of the objectives, the most important one first.
        eta: one in how many goes on.
    """

    def __init__(self, scheduler: str, rungs: int, goals: Goals, eta: int = 3) -> None:
        self._top, self._goals, self._eta = rungs - 1, goals, eta
        self._first = first_rungs(scheduler, rungs, eta)
        self._reached: dict[tuple[int, int], dict[int, Sequence[float]]] = {}
        self._waiting: dict[int, int] = {}  # candidate's number -> the rung where it waits
        self._ordered: dict[tuple[int, int], list[int]] = {}  # what is known of `_best_first`

    def first(self, number: int) -> int:
        """Return the rung at which candidate `number` pauses for the first time."""
        return self._first[number % len(self._first)]

    def reached(self, number: int, rung: int, objectives: Sequence[float]) -> None:
        """Record the `objectives` of a candidate that has come to `rung` and waits there."""
        place = self.first(number), rung
        self._reached.setdefault(place, {})[number] = objectives
        self._ordered.pop(place, None)
        if rung < self._top:
            self._waiting[number] = rung

    def left(self, number: int) -> None:
        """Record that a candidate no longer waits: it has gone on, or ended."""
        self._waiting.pop(number, None)

    def next(
        self, *, last: bool = False, fits: Callable[[Promotion], bool] = lambda _: True
    ) -> Promotion | None:
        """Return the candidate that should go on, or None if all should wait.

        Args:
            fits: says whether there is time for a promotion; those without wait.
            last: no new candidate will come, so that the best of each rung goes on even if fewer
                than eta have reached it.
        """
        for rung in range(self._top - 1, -1, -1):
            for first in range(rung + 1):
                best = self._best_first(first, rung)
                places = max(len(best) // self._eta, 1 if last else 0)
                for number in best[:places]:
                    promotion = Promotion(number, rung + 1)
                    if self._waiting.get(number) == rung and fits(promotion):
                        return promotion
        return None

    def near(self, spare: int = 8) -> set[int]:
        """Return the waiting candidates that have a place in the next rung soon, if not yet."""
        found = set()
        for first, rung in self._reached:
            best = self._best_first(first, rung)
            found |= set(best[: len(best) // self._eta + spare])
        return found & self._waiting.keys()

    def _best_first(self, first: int, rung: int) -> list[int]:
        """Return the numbers of those that have reached a rung of a bracket."""
        if (first, rung) not in self._ordered:
            seen = self._reached.get((first, rung), {})
            numbers = sorted(seen)
            points = np.array([seen[number] for number in numbers], dtype=float)
            order = [numbers[i] for i in ranked(points, self._goals)] if numbers else []
            self._ordered[first, rung] = order
        return self._ordered[first, rung]


def ranked(points: np.ndarray[tuple[int, ...], np.dtype[np.float64]], goals: Goals) -> list[int]:
    """Return the rows (N, M), those of the front first, then by the first objective."""
    first = points[:, 0] * (-1 if goals[0] == "max" else 1)
    return [int(i) for i in np.lexsort((first, ranks(points, goals)))]


def first_rungs(scheduler: str, rungs: int, eta: int) -> tuple[int, ...]:
    """Return the rung at which each of a number of candidates in turn is compared first.

    Hyperband gives its brackets about the same work: of 17 candidates with three rungs and an eta
    of 3, nine begin at the lowest, five at the next and three are trained to the end.
    """
    if scheduler == "none":
        return (rungs - 1,)
    if scheduler == "asha":
        return (0,)
    shares = [-(-rungs * eta ** (rungs - 1 - k) // (rungs - k)) for k in range(rungs)]
    turns: list[int] = []
    for n in range(1, sum(shares) + 1):  # each turn is the bracket's that lags most
        lags = [n * share / sum(shares) - turns.count(k) for k, share in enumerate(shares)]
        turns.append(lags.index(max(lags)))
    return tuple(turns)
