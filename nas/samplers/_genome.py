"""Points of a search space as rows of numbers, so that thousands are made and compared at once.

A column is a gene. It holds the index of the choice, or for a continuous parameter its place
between 0 and 1; -1 marks a gene that is dormant. What a gene wakes comes after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import exp, log
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from search_spaces.space import Gene, Space

Array = np.ndarray[Any, np.dtype[Any]]
DORMANT = -1.0
_FINE = 1_000  # levels from which an integer counts as continuous
_STEP = 0.2  # standard deviation of a continuous mutation


def distribution(gene: Gene) -> BaseDistribution:
    """Return how Optuna is asked for `gene`: an ordered one by index, which shows the order."""
    if gene.ordered:
        return IntDistribution(0, len(gene.choices) - 1)
    return CategoricalDistribution(gene.choices)


def parameter(gene: Gene, value: Any) -> Any:
    """Return what Optuna calls `value`."""
    return gene.choices.index(value) if gene.ordered else value


@dataclass(frozen=True, eq=False)
class Genome:
    """The columns.

    Attributes:
        distributions: by name, in the order of the columns.
        parents: (G,) the column that wakes each column, or -1.
        wakes: for each column, whether each choice of its parent wakes it.
        groups: (G,) columns of the same group matter to the same degree.
    """

    distributions: dict[str, BaseDistribution]
    parents: Array
    wakes: tuple[Array, ...]
    groups: Array

    @classmethod
    def flat(cls, distributions: Mapping[str, BaseDistribution]) -> Genome:
        """Return the genome of parameters that know nothing of each other."""
        count = len(distributions)
        none = np.ones(1, dtype=bool)
        return cls(dict(distributions), np.full(count, -1), (none,) * count, np.arange(count))

    @classmethod
    def of_space(cls, space: Space) -> Genome:
        """Return the genome of `space`: genes of a kind within a stage are a group."""
        genes, conditions = space.genes(), space.conditions()
        place = {gene.name: i for i, gene in enumerate(genes)}
        parents, wakes = np.full(len(genes), -1), []
        for i, gene in enumerate(genes):
            parent, values = conditions.get(gene.name, (None, ()))
            choices = genes[place[parent]].choices if parent else ()
            parents[i] = place[parent] if parent else -1
            wakes.append(np.array([choice in values for choice in choices] or [True]))
        roles = {_role(gene.name): None for gene in genes}
        groups = [list(roles).index(_role(gene.name)) for gene in genes]
        distributions = {gene.name: distribution(gene) for gene in genes}
        return cls(distributions, parents, tuple(wakes), np.array(groups))

    @cached_property
    def levels(self) -> Array:
        """(G,) how many values each column takes; 0 for a continuous one."""
        return np.array([_levels(d) for d in self.distributions.values()], dtype=int)

    def encode(self, params: Mapping[str, Any]) -> Array:
        """Return the row (G,) of Optuna's `params`; names that are no genes are left out."""
        row = np.full(len(self.distributions), DORMANT)
        for name, value in params.items():
            if name in self._indices:
                column, indices = self._indices[name]
                known = self.distributions[name]
                row[column] = indices.get(value, DORMANT) if indices else _to_number(known, value)
        return row

    def decode(self, row: Array) -> dict[str, Any]:
        """Return Optuna's parameters for `row`, the dormant ones left out."""
        pairs = zip(self.distributions.items(), row.tolist(), strict=True)
        return {name: _to_value(d, number) for (name, d), number in pairs if number != DORMANT}

    def canonical(self, rows: Array) -> Array:
        """Put to sleep, in place, what nothing wakes."""
        for columns, parents, wakes in self._tiers:
            parent = rows[:, parents].astype(int)
            awake = (parent >= 0) & wakes[np.arange(len(columns)), np.maximum(parent, 0)]
            rows[:, columns] = np.where(awake, rows[:, columns], DORMANT)
        return rows

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        """Return rows (count, G), each gene uniform."""
        return self.canonical(self._drawn(count, rng))

    def mutate(self, rows: Array, rng: np.random.Generator) -> Array:
        """Return `rows` with one active gene of each changed, and drawn afresh what that wakes."""
        drawn = self._drawn(len(rows), rng)
        open_ = (rows != DORMANT) & (self.levels != 1)
        column = np.argmax(open_ * (1 + rng.random(rows.shape)), axis=1)  # a random open one
        each = np.arange(len(rows))
        old, levels = rows[each, column], self.levels[column]
        jump = 1 + np.floor(rng.random(len(rows)) * np.maximum(levels - 1, 0))
        shifted = np.abs(old + _STEP * rng.standard_normal(len(rows))) % 2
        moved = np.where(levels > 0, (old + jump) % np.maximum(levels, 1), 1 - abs(1 - shifted))
        changed = np.where(rows == DORMANT, drawn, rows)
        changed[each, column] = moved
        return self.canonical(changed)

    def features(self, rows: Array) -> Array:
        """Return (N, F): a dummy for each choice of a category, a number from 0 to 1 for others.

        The squared distance is 1 between two categories and between the ends of a scale.
        """
        found = np.zeros((len(rows), len(self.feature_groups)))
        categories = np.flatnonzero(self._is_category)
        numbers = np.flatnonzero(~self._is_category)
        row, place = np.nonzero(rows[:, categories] != DORMANT)
        column = categories[place]
        found[row, self._starts[column] + rows[row, column].astype(int)] = np.sqrt(0.5)
        scaled = rows[:, numbers] / np.maximum(self.levels[numbers] - 1, 1)
        found[:, self._starts[numbers]] = np.where(rows[:, numbers] == DORMANT, 0.5, scaled)
        return found

    @cached_property
    def feature_groups(self) -> Array:
        """(F,) the group of each feature."""
        return np.repeat(self.groups, self._widths)

    @cached_property
    def _is_category(self) -> Array:
        known = self.distributions.values()
        return np.array([isinstance(d, CategoricalDistribution) for d in known])

    @cached_property
    def _widths(self) -> Array:
        """(G,) how many features each column has."""
        return np.where(self._is_category, self.levels, 1)

    @cached_property
    def _starts(self) -> Array:
        """(G,) the first feature of each column."""
        return np.cumsum(self._widths) - self._widths

    @cached_property
    def _indices(self) -> dict[str, tuple[int, dict[Any, int]]]:
        """The column of each gene and, where values can be looked up, the index of each value."""
        return {n: (i, _values(d)) for i, (n, d) in enumerate(self.distributions.items())}

    @cached_property
    def _tiers(self) -> list[tuple[Array, Array, Array]]:
        """Columns that others wake, their parents and what wakes them; parents' tiers first."""
        tier = np.zeros(len(self.parents), dtype=int)
        for column in np.flatnonzero(self.parents >= 0):
            tier[column] = 1 + tier[self.parents[column]]
        most = max((len(wakes) for wakes in self.wakes), default=1)
        padded = np.zeros((len(self.parents), most), dtype=bool)
        for row, wakes in zip(padded, self.wakes, strict=True):
            row[: len(wakes)] = wakes
        columns = [np.flatnonzero(tier == t) for t in range(1, tier.max(initial=0) + 1)]
        return [(c, self.parents[c], padded[c]) for c in columns]

    def _drawn(self, count: int, rng: np.random.Generator) -> Array:
        uniform = rng.random((count, len(self.levels)))
        return np.where(self.levels > 0, np.floor(uniform * self.levels), uniform)


def _role(name: str) -> str:
    """Return what a gene does in which stage: s1.b2.mbconv.kernel -> s1.knob."""
    stage, *rest = name.split(".")
    if len(rest) < 2:
        return name
    return f"{stage}.kind" if rest[-1] == "kind" else f"{stage}.knob"


def _levels(known: BaseDistribution) -> int:
    if isinstance(known, CategoricalDistribution):
        return len(known.choices)
    assert isinstance(known, (IntDistribution, FloatDistribution))
    if known.low == known.high:
        return 1
    if known.step is None or known.log:
        return 0
    levels = round((known.high - known.low) / known.step) + 1
    return levels if levels <= _FINE else 0


def _values(known: BaseDistribution) -> dict[Any, int]:
    if isinstance(known, CategoricalDistribution):
        return {choice: i for i, choice in reversed([*enumerate(known.choices)])}
    if isinstance(known, IntDistribution) and _levels(known):
        return {known.low + i * known.step: i for i in range(_levels(known))}
    return {}


def _to_number(known: BaseDistribution, value: Any) -> float:
    assert isinstance(known, (IntDistribution, FloatDistribution))
    if _levels(known):
        return float(round((value - known.low) / (known.step or 1)))
    if known.log:
        return log(value / known.low) / log(known.high / known.low)
    return float(value - known.low) / (known.high - known.low)


def _to_value(known: BaseDistribution, number: float) -> Any:
    if isinstance(known, CategoricalDistribution):
        return known.choices[int(number)]
    assert isinstance(known, (IntDistribution, FloatDistribution))
    if _levels(known):
        value = known.low + number * (known.step or 1)
    elif known.log:
        value = known.low * exp(number * log(known.high / known.low))
    else:
        value = known.low + number * (known.high - known.low)
        if known.step:
            value = known.low + round((value - known.low) / known.step) * known.step
    value = min(max(value, known.low), known.high)
    return round(value) if isinstance(known, IntDistribution) else float(value)
