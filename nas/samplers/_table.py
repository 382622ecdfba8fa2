"""The names of samplers, and what one is made from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from search_spaces.budget import NO_LIMIT, Budget
from search_spaces.registry import Registry

from ._costs import CostTable
from ._genome import Genome, parameter

if TYPE_CHECKING:
    from collections.abc import Callable

    from optuna.samplers import BaseSampler

    from evaluators.evaluator import Metric
    from search_spaces.arch import Arch, Task
    from search_spaces.space import Space
    from search_spaces.subspace import Subspace

    from ._genome import Array


@dataclass(frozen=True)
class Problem:
    """What is searched: a sampler may look at all of it, and need not look at any of it.

    Attributes:
        space: where candidates come from.
        task: what they are for.
        objectives: what is optimised.
        budget: what every candidate must meet.
    """

    space: Space
    task: Task
    objectives: tuple[Metric, ...]
    budget: Budget = NO_LIMIT

    @cached_property
    def genome(self) -> Genome:
        """The space as columns of numbers."""
        return Genome.of_space(self.space)

    @cached_property
    def costs(self) -> CostTable:
        """What rows of the genome cost."""
        return CostTable(self.space, self.task)

    @property
    def limited(self) -> bool:
        """Whether there is a budget."""
        return self.budget != NO_LIMIT

    @cached_property
    def within(self) -> Subspace:
        """The part of the space within the budget."""
        return self.space.within(self.budget, self.task)

    def row(self, arch: Arch) -> Array:
        """Return the row of `arch` in the genome."""
        genes, values = self.space.genes(), self.space.encode(arch)
        return self.genome.encode(
            {g.name: parameter(g, values[g.name]) for g in genes if g.name in values}
        )


@dataclass(frozen=True)
class SamplerSpec:
    """How a sampler is made and asked.

    Attributes:
        make: (problem, seed) -> sampler. It is made anew for each proposal, so that a proposal
            depends on nothing but the seed, the candidate's number and what was told before.
        summary: one line for `nas list samplers`.
        flat: ask for all genes at once and ignore the dormant ones. Relative samplers see only the
            genes that all trials share, which would be few; the others are asked along the draw.
    """

    make: Callable[[Problem, int], BaseSampler]
    summary: str
    flat: bool = False


SAMPLERS: Registry[SamplerSpec] = Registry("sampler", "nas.samplers")
