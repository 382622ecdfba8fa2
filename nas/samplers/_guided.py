"""What our own samplers share: they see the trials as rows of numbers and propose a whole row."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import StudyDirection
from optuna.trial import TrialState

from ._costs import COUNTED
from ._genome import Genome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    from ._genome import Array
    from ._table import Problem

_FEW = 8  # rows within the budget below which some are made by construction


@dataclass(frozen=True, eq=False)
class History:
    """The trials so far, those that are finished in the order of their numbers.

    Attributes:
        rows: (N, G) what was finished.
        values: (N, M) what came of it, more being better.
        violations: (N, C) by constraint; feasible at or below 0, NaN where it is not known.
        pending: (P, G) what is under way.
        seen: all rows ever proposed, the failed ones included.
    """

    rows: Array
    values: Array
    violations: Array
    pending: Array
    seen: frozenset[bytes]

    @property
    def feasible(self) -> Array:
        """(N,) whether no constraint is broken."""
        return np.array(~(self.violations > 0).any(axis=1))

    @property
    def excess(self) -> Array:
        """(N,) by how much constraints are broken, in total."""
        return np.array(np.maximum(np.nan_to_num(self.violations), 0).sum(axis=1))

    def new(self, rows: Array) -> Array:
        """Return which of `rows` were never proposed."""
        return np.array([row.tobytes() not in self.seen for row in rows], dtype=bool)


class GuidedSampler(BaseSampler):
    """Base of samplers that propose a whole point, in any Optuna study or in a space of ours.

    Args:
        problem: the space that is searched; by default what all trials of the study share.
        seed: of all that is random.
    """

    def __init__(self, problem: Problem | None = None, *, seed: int | None = None) -> None:
        self.problem = problem
        self.rng = np.random.default_rng(seed)
        self._alone = RandomSampler(seed)
        self._shared = IntersectionSearchSpace()

    @abstractmethod
    def propose(self, genome: Genome, history: History) -> Array:
        """Return the next row (G,)."""

    def fresh(self, genome: Genome, history: History, count: int) -> Array:
        """Return random rows that are new and within the budget, one at least."""
        rows = genome.sample(count, self.rng)
        good = rows[self.allowed(rows) & history.new(rows)]
        if len(good) < _FEW and self.problem and self.problem.limited:
            within, rng = self.problem.within, Random(int(self.rng.integers(1 << 62)))
            encoded = [self.problem.row(within.sample(rng, "gene")) for _ in range(_FEW)]
            good = np.concatenate([good, encoded])
            good = good[history.new(good)] if history.new(good).any() else good
        return good if len(good) else rows

    def allowed(self, rows: Array) -> Array:
        """Return (N,) which rows are within the budget."""
        if self.problem is None or not self.problem.limited:
            return np.ones(len(rows), dtype=bool)
        costs = dict(zip(COUNTED, self.problem.costs(rows).T, strict=True))
        limits = [costs[n] <= v for n, v in vars(self.problem.budget).items() if v is not None]
        within: Array = np.logical_and.reduce(limits)
        return within

    def exact(self, objective: int) -> Callable[[Array], Array] | None:
        """Return what gives an objective's values exactly, more being better; None if nothing."""
        if self.problem is None or self.problem.objectives[objective].name not in COUNTED:
            return None
        metric, costs = self.problem.objectives[objective], self.problem.costs
        column, sign = COUNTED.index(metric.name), 1.0 if metric.goal == "max" else -1.0
        return lambda rows: sign * costs(rows)[:, column]

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the genes of our space, or what all trials share."""
        del trial
        if self.problem:
            return self.problem.genome.distributions
        return {n: d for n, d in self._shared.calculate(study).items() if not d.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the parameters of the next point."""
        if not search_space:
            return {}
        genome = self.problem.genome if self.problem else Genome.flat(search_space)
        others = [t for t in study.get_trials(deepcopy=False) if t.number != trial.number]
        return genome.decode(self.propose(genome, _history(genome, others, study.directions)))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        """Return a random value for a parameter that not all trials share."""
        return self._alone.sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        """Make this copy of the sampler draw other numbers than its original."""
        self.rng = np.random.default_rng()
        self._alone.reseed_rng()


def _history(
    genome: Genome, trials: Sequence[FrozenTrial], directions: Sequence[StudyDirection]
) -> History:
    trials = [t for t in trials if genome.distributions.keys() & t.params.keys()]
    rows = [genome.encode(trial.params) for trial in trials]
    done = [i for i, t in enumerate(trials) if t.state == TrialState.COMPLETE]
    pending = [i for i, t in enumerate(trials) if t.state == TrialState.RUNNING]
    every = genome.canonical(np.array(rows).reshape(len(rows), len(genome.distributions)))
    signs = [1.0 if d == StudyDirection.MAXIMIZE else -1.0 for d in directions]
    values = np.array([trials[i].values for i in done], dtype=float).reshape(-1, len(signs))
    names = sorted({name for i in done for name in trials[i].constraints})
    violations = [[trials[i].constraints.get(n, np.nan) for n in names] for i in done]
    return History(
        every[done],
        values * signs,
        np.array(violations, dtype=float).reshape(len(done), len(names)),
        every[pending],
        frozenset(row.tobytes() for row in every),
    )
