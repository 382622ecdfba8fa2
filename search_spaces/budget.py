"""Budgets on analytic costs, and the narrowing of an architecture to fit one."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import lcm
from typing import TYPE_CHECKING

from .arch import Arch, Task
from .errors import BudgetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .cost import Cost

_MOST = 16.0  # multiplier of the widths up to which `fill` widens
GRID = 8  # widths are narrowed to multiples of this, as in MobileNetV2


@dataclass(frozen=True)
class Budget:
    """Upper limits; None is no limit.

    Attributes:
        params: learned numbers.
        macs: multiply-adds at batch 1.
        size_bytes: bytes of the parameters as 32-bit floats.
    """

    params: int | None = None
    macs: int | None = None
    size_bytes: int | None = None

    def broken(self, cost: Cost) -> Iterator[tuple[str, int, int]]:
        """Iterate over the broken limits: name, value, limit."""
        for f in fields(self):
            limit, value = getattr(self, f.name), getattr(cost, f.name)
            if limit is not None and value > limit:
                yield f.name, value, limit

    def allows(self, cost: Cost) -> bool:
        """Tell whether `cost` is within every limit."""
        return next(self.broken(cost), None) is None

    def used(self, cost: Cost) -> float:
        """Return the largest share of a limit that `cost` takes; 0 without limits."""
        limits = {f.name: getattr(self, f.name) for f in fields(self)}
        return max((getattr(cost, n) / v for n, v in limits.items() if v is not None), default=0)


NO_LIMIT = Budget()


def fit(arch: Arch, budget: Budget, task: Task) -> Arch:
    """Return `arch`, or if it is over `budget`, its widest version within it.

    One multiplier narrows stem, stages and head together, each width rounded down to the grid and
    never below one grid step. Narrow the genes' architecture each time, never a fitted one:
    rounding twice narrows twice.

    Raises:
        BudgetError: the narrowest version is still over; the message has both numbers.
    """
    if budget.allows(arch.cost(task)):
        return arch
    return _widest(arch, budget, task, 1.0)


def fill(arch: Arch, budget: Budget, task: Task) -> Arch:
    """Return the widest version of `arch` within `budget`, narrowed or widened by the same rules.

    It is `arch` itself without a limit, and where no other version within the limits comes nearer
    to one: widths off the grid are kept then.

    Raises:
        BudgetError: as in `fit`.
    """
    if budget == NO_LIMIT:
        return arch
    widest = _widest(arch, budget, task, _MOST)
    ours, widest_used = budget.used(arch.cost(task)), budget.used(widest.cost(task))
    return arch if widest_used <= ours <= 1 else widest


def _widest(arch: Arch, budget: Budget, task: Task, most: float) -> Arch:
    """Return the widest version within `budget` with a multiplier of at most `most`."""
    grid = lcm(GRID, *(block.multiple_of for stage in arch.stages for block in stage.blocks))
    grid = lcm(grid, arch.head.groups)
    steps = _multipliers(arch, grid, most)
    for name, value, limit in budget.broken(scale(arch, steps[0], grid).cost(task)):
        raise BudgetError(
            f"budget `{name}` (={limit:,}) is below the narrowest version, which has {value:,}"
        )
    low, high = 0, len(steps)  # steps[low] fits; steps[high] is taken not to
    while high - low > 1:
        middle = (low + high) // 2
        if budget.allows(scale(arch, steps[middle], grid).cost(task)):
            low = middle
        else:
            high = middle
    return scale(arch, steps[low], grid)


def scale(arch: Arch, multiplier: float, grid: int = GRID) -> Arch:
    """Return `arch` with all widths multiplied by `multiplier` and rounded down to `grid`."""

    def width(value: int) -> int:
        return max(min(value, grid), int(value * multiplier + 1e-9) // grid * grid)

    return Arch(
        replace(arch.stem, width=width(arch.stem.width)),
        tuple(replace(stage, width=width(stage.width)) for stage in arch.stages),
        replace(arch.head, width=width(arch.head.width)) if arch.head.width else arch.head,
    )


def _multipliers(arch: Arch, grid: int, most: float) -> list[float]:
    """Return every multiplier at or below `most` at which some width changes, ascending."""
    widths = {arch.stem.width, arch.head.width, *(stage.width for stage in arch.stages)} - {0}
    steps = {k * grid / width for width in widths for k in range(1, int(width * most) // grid + 1)}
    return sorted(step for step in steps | {grid / max(widths)} if step <= most)
