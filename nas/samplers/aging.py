"""Regularised evolution: the best of a few of the youngest is mutated, the old die.

Source: Real et al. 2019, arXiv:1802.01548. Departure: with several objectives, fewer dominating
members of the population make a better one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._guided import GuidedSampler, History
from ._table import SAMPLERS, SamplerSpec

if TYPE_CHECKING:
    from ._genome import Array, Genome

POPULATION = 30
TOURNAMENT = 8
_TRIES = 20  # children of which the first that is new and within the budget is taken
_GENES = 4  # genes that are changed at most, where all children with fewer are known


class AgingSampler(GuidedSampler):
    """See the module."""

    def propose(self, genome: Genome, history: History) -> Array:
        """Return a child of the winner of a tournament; at first, a random row."""
        if len(history.rows) < POPULATION // 2:
            first: Array = self.fresh(genome, history, _TRIES)[0]
            return first
        young = len(history.rows) - np.arange(min(POPULATION, len(history.rows))) - 1
        rivals = self.rng.choice(young, min(TOURNAMENT, len(young)), replace=False)
        parent = history.rows[rivals[np.argmin(_burden(history)[rivals])]]
        children = np.repeat(parent[None], _TRIES, axis=0)
        for _ in range(_GENES):
            children = genome.mutate(children, self.rng)
            good = children[self.allowed(children) & history.new(children)]
            if len(good):
                break
        child: Array = good[0] if len(good) else children[0]
        return child


def _burden(history: History) -> Array:
    """Return (N,) how many are better in all objectives; more than all where infeasible."""
    values = np.where(history.feasible[:, None], history.values, -np.inf)
    better = values[None] > values[:, None]
    dominating = better.any(axis=2) & (values[None] >= values[:, None]).all(axis=2)
    infeasible = len(values) + history.excess
    burden: Array = dominating.sum(axis=1) + np.where(history.feasible, 0, infeasible)
    return burden


SAMPLERS.register("aging")(
    SamplerSpec(
        lambda problem, seed: AgingSampler(problem, seed=seed),
        "regularised evolution: Real et al. 2019",
    )
)
