"""Successive halving over epochs, for one objective or several.

Source: ASHA, Li et al. 2020, arXiv:1810.05934, Algorithm 2. Departure: where there are several
objectives, candidates are ordered by non-dominated rank and, within a rank, by the first objective,
because Optuna prunes no study with more than one.
"""

from __future__ import annotations

from collections import defaultdict
from math import ceil
from typing import TYPE_CHECKING, Literal

import numpy as np

from .pareto import ranks

if TYPE_CHECKING:
    from collections.abc import Sequence

Goals = tuple[Literal["min", "max"], ...]


def rungs(epochs: int, eta: int = 3) -> tuple[int, ...]:
    """Return the epochs after which candidates are compared, a ninth and a third: 9 -> (1, 3)."""
    steps = {ceil(epochs / eta**2), ceil(epochs / eta)}
    return tuple(sorted(step for step in steps if step < epochs))


class Halving:
    """Decides at each rung whether a candidate is among the best 1/`eta` seen there so far.

    Args:
        epochs: of a candidate that is never stopped.
        goals: of the objectives, the most important one first.
        eta: one in how many goes on.
    """

    def __init__(self, epochs: int, goals: Goals, eta: int = 3) -> None:
        self._rungs = rungs(epochs, eta)
        self._goals = goals
        self._eta = eta
        self._seen: dict[int, list[Sequence[float]]] = defaultdict(list)

    def goes_on(self, epoch: int, objectives: Sequence[float]) -> bool:
        """Record a candidate's `objectives` after `epoch` epochs and say whether it trains on."""
        if epoch not in self._rungs:
            return True
        self._seen[epoch].append(objectives)
        points = np.array(self._seen[epoch], dtype=float)
        first = points[:, 0] * (-1 if self._goals[0] == "max" else 1)
        order = np.lexsort((first, ranks(points, self._goals)))
        places = max(1, len(points) // self._eta)
        return len(points) - 1 in order[:places]
