"""The part of a space within a budget: counted, sampled and mutated without leaving it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from .budget import NO_LIMIT, Budget
from .cost import FLOAT_BYTES
from .counting import START, Table, Uniform, Walks
from .errors import BudgetError

if TYPE_CHECKING:
    from .arch import Arch, Task
    from .space import Space

_COUNTED = {"params": ("params", 1), "macs": ("macs", 1), "size_bytes": ("params", FLOAT_BYTES)}
_REPAIRS = 50  # mutations after which little is left of an architecture far outside
_TRIES = 1000  # draws until limits that can be met one by one are taken not to be met together


class Bounds(NamedTuple):
    """What the cheapest and the dearest architecture of a space cost."""

    least: int
    most: int


def bounds(space: Space, task: Task, cost: str) -> Bounds:
    """Return the bounds of "params" or "macs" over all architectures of `space`."""
    walks = _walks(space, task, cost)
    return Bounds(walks.least[START], walks.most[START])


@dataclass(frozen=True)
class Subspace:
    """The architectures of a space within limits; `Space.within` makes it.

    Parameters, or MACs, are met by construction. Where both are limited, the limit that leaves
    fewer architectures is, and draws that break the other one are rejected.

    Attributes:
        space: whose part it is.
        task: what costs are for.
        budget: upper limits.
        least: lower limits.

    Raises:
        BudgetError: no architecture is within the limits; the message has the nearest cost.
    """

    space: Space
    task: Task
    budget: Budget
    least: Budget = NO_LIMIT

    def __post_init__(self) -> None:
        for name in _COUNTED:
            self._check(name)
        if self.least != NO_LIMIT and not self._table.total:
            raise BudgetError(
                f"no architecture of space {self.space.name!r} lies between {self.least} and "
                f"{self.budget}; the nearest below has {self._table.nearest:,}"
            )

    def size(self) -> int:
        """Return the number of architectures.

        Exact in small spaces. In large ones costs are rounded up to bins, which leaves out some
        architectures just below the limit: less than 3 in 1,000 in the presets. With limits on
        both parameters and MACs it is an estimate, the count within one of them times `acceptance`.
        """
        if not self._limits:
            return self.space.size()
        return round(self._table.total * (1 if self.acceptance == 1 else self.acceptance))

    @cached_property
    def acceptance(self) -> float:
        """The share of draws that are not rejected: 1 with one limit, else that of 1,000 draws."""
        if len(self._limits) < 2:
            return 1.0
        rng = random.Random(0)
        return sum(self.allows(self._table.draw(rng)) for _ in range(_TRIES)) / _TRIES

    def allows(self, arch: Arch) -> bool:
        """Tell whether what `arch` costs is within the limits."""
        return self._excess(arch) == 0

    def sample(self, rng: random.Random, uniform: Uniform = "arch") -> Arch:
        """Return an architecture.

        Args:
            rng: where chance comes from.
            uniform: "arch" gives all architectures the same chance, so that most are as deep as the
                limits allow; "gene" keeps the proportions in which `Space.sample` draws them.

        Raises:
            BudgetError: limits on parameters and MACs of which 1,000 draws met only one.
        """
        table = self._table if uniform == "arch" else self._table_of_genes
        for _ in range(_TRIES):
            arch = table.draw(rng)
            if len(self._limits) < 2 or self.allows(arch):
                return arch
        raise BudgetError(
            f"no architecture of space {self.space.name!r} within {self.budget} was found: of "
            f"{_TRIES:,} that meet one of its limits none meets the other"
        )

    def mutate(self, arch: Arch, rng: random.Random) -> Arch:
        """Return `arch` with one gene changed as by `Space.mutate`, within the limits.

        Where 1,000 such changes in a row lead out, it is a sample.
        """
        for _ in range(_TRIES):
            mutant = self.space.mutate(arch, rng)
            if self.allows(mutant):
                return mutant
        return self.sample(rng)

    def repair(self, arch: Arch, rng: random.Random) -> Arch:
        """Return `arch` if it is within the limits, else a relative of it that is.

        Random mutations are kept if they bring it nearer to the limits. Where 50 of them do not
        suffice, because it is far outside, it is a sample.
        """
        excess = self._excess(arch)
        for _ in range(_REPAIRS):
            if not excess:
                return arch
            mutant = self.space.mutate(arch, rng)
            left = self._excess(mutant)
            if left < excess:
                arch, excess = mutant, left
        return self.sample(rng) if excess else arch

    def _excess(self, arch: Arch) -> float:
        """Return by how much `arch` breaks the limits, each in relation to itself, in total."""
        cost, excess = arch.cost(self.task), 0.0
        for limits, sign in ((self.budget, 1), (self.least, -1)):
            for name, limit in vars(limits).items():
                if limit is not None:
                    excess += max(0, sign * (getattr(cost, name) - limit)) / max(limit, 1)
        return excess

    def _check(self, name: str) -> None:
        """Refuse a limit that is beyond the smallest or the largest architecture."""
        high, low = getattr(self.budget, name), getattr(self.least, name)
        cost, unit = _COUNTED[name]
        if high is not None:
            least = unit * _walks(self.space, self.task, cost).least[START]
            if high < least:
                raise BudgetError(
                    f"budget `{name}` (={high:,}) is below the smallest architecture of space "
                    f"{self.space.name!r}, which has {least:,}"
                )
        if low is not None:
            most = unit * _walks(self.space, self.task, cost).most[START]
            if low > most:
                raise BudgetError(
                    f"lower limit `{name}` (={low:,}) is above the largest architecture of space "
                    f"{self.space.name!r}, which has {most:,}"
                )
            if high is not None and low > high:
                raise BudgetError(f"lower limit `{name}` (={low:,}) is above the budget's {high:,}")

    @cached_property
    def _limits(self) -> dict[str, tuple[int, int]]:
        """The least and the most of each cost that is limited."""
        limits: dict[str, tuple[int, int]] = {}
        for name, (cost, unit) in _COUNTED.items():
            high, low = getattr(self.budget, name), getattr(self.least, name)
            if high is not None or low is not None:
                before = limits.get(cost, (0, _walks(self.space, self.task, cost).most[START]))
                highest = before[1] if high is None else high // unit
                limits[cost] = max(before[0], -(-(low or 0) // unit)), min(before[1], highest)
        return limits

    @cached_property
    def _met(self) -> tuple[str, Table]:
        """The cost whose limit is met by construction, and its table."""
        tables = [(cost, self._tabulate(cost)) for cost in self._limits or ("params",)]
        return min(tables, key=lambda found: found[1].total)

    def _tabulate(self, cost: str, uniform: Uniform = "arch") -> Table:
        walks = _walks(self.space, self.task, cost)
        low, high = self._limits.get(cost, (0, walks.most[START]))
        return Table(walks, high, low, uniform)

    @property
    def _table(self) -> Table:
        return self._met[1]

    @cached_property
    def _table_of_genes(self) -> Table:
        return self._tabulate(self._met[0], "gene")


@lru_cache(maxsize=4)
def _walks(space: Space, task: Task, cost: str) -> Walks:
    return Walks(space, task, cost)


@lru_cache(maxsize=2)  # a table may hold some 70 MB
def within(space: Space, budget: Budget, task: Task, least: Budget = NO_LIMIT) -> Subspace:
    """Return the part of `space` between the limits; the last ones asked for are kept.

    Raises:
        BudgetError: no architecture is within the limits; the message has the nearest cost.
    """
    return Subspace(space, task, budget, least)
