"""Our best: a Gaussian process over the genes ranks a pool, expected improvement decides.

Source: the loop of BANANAS (White et al. 2021, arXiv:1910.11858) with a Gaussian process in place
of its networks; several objectives by random hypervolume scalarisations (Golovin and Zhang 2020,
arXiv:2006.04655). What is counted exactly, such as parameters, is not learned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ._belief import Belief
from ._guided import GuidedSampler, History
from ._table import SAMPLERS, SamplerSpec

if TYPE_CHECKING:
    from ._genome import Array, Genome

STARTUP = 6  # trials that are only spread over the space
SPREAD = 32  # rows of which the one farthest from all others is taken
FRESH = 400  # random rows of a pool
PARENTS, CHILDREN = 12, 40  # the best trials, and mutants of each
CLIMBS = 2  # times that mutants of the most promising row are tried as well


class AutoSampler(GuidedSampler):
    """See the module."""

    def propose(self, genome: Genome, history: History) -> Array:
        """Return the row of a pool that promises most."""
        if len(history.rows) < STARTUP:
            return self._spread(genome, history)
        belief = self._belief(genome, history)
        pool = self._pool(genome, history, belief)
        best: Array = pool[np.argmax(belief.promise(pool))]
        for _ in range(CLIMBS):
            near = genome.mutate(np.repeat(best[None], CHILDREN, axis=0), self.rng)
            near = np.concatenate([best[None], near[self.allowed(near) & history.new(near)]])
            best = near[np.argmax(belief.promise(near))]
        return best

    def _spread(self, genome: Genome, history: History) -> Array:
        """Return of some random rows the one that is farthest from all that were proposed."""
        rows: Array = self.fresh(genome, history, SPREAD)
        known = genome.features(np.concatenate([history.rows, history.pending]))
        if not len(known):
            return np.array(rows[0])
        apart = (genome.features(rows)[:, None] - known) ** 2
        farthest: Array = rows[np.argmax(apart.sum(axis=2).min(axis=1))]
        return farthest

    def _pool(self, genome: Genome, history: History, belief: Belief) -> Array:
        nearest = np.argsort(history.excess, kind="stable")  # to what is feasible, if nothing is
        parents = belief.rows[belief.order] if len(belief.rows) else history.rows[nearest]
        parents = parents[:PARENTS]
        once = genome.mutate(np.repeat(parents, CHILDREN, axis=0), self.rng)
        twice = genome.mutate(once[::2], self.rng)
        mutants = np.concatenate([once, twice])
        mutants = mutants[self.allowed(mutants) & history.new(mutants)]
        return np.concatenate([mutants, self.fresh(genome, history, FRESH)])

    def _belief(self, genome: Genome, history: History) -> Belief:
        exact = [self.exact(i) for i in range(history.values.shape[1])]
        return Belief(history, genome.features, genome.feature_groups, exact, self.rng)


SAMPLERS.register("auto")(
    SamplerSpec(
        lambda problem, seed: AutoSampler(problem, seed=seed),
        "Gaussian process over the genes, expected improvement; the default",
    )
)
