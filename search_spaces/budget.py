"""Budgets on analytic costs, and the narrowing of an architecture to fit one."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import floor, inf, lcm
from numbers import Real
from typing import TYPE_CHECKING

from .errors import BudgetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .arch import Arch, Task
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

    Raises:
        BudgetError: a limit is negative, or no number.
    """

    params: int | None = None
    macs: int | None = None
    size_bytes: int | None = None

    def __post_init__(self) -> None:
        for f in fields(self):
            limit = getattr(self, f.name)
            if limit is None:
                continue
            number = isinstance(limit, Real) and not isinstance(limit, bool)
            if not (number and 0 <= float(limit) < inf):
                raise BudgetError(f"`{f.name}` (={limit!r}) of a budget must be a number from 0 on")
            object.__setattr__(self, f.name, floor(limit))  # costs are whole: 3.6e6 is as good

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
        return max(
            (getattr(cost, n) / max(v, 1) for n, v in limits.items() if v is not None), default=0
        )


NO_LIMIT = Budget()


def fit(arch: Arch, budget: Budget, task: Task) -> Arch:
    """Return `arch`, or if it is over `budget`, its widest version within it.

    One multiplier narrows stem, stages and head together, each width rounded down to the grid and
    never below one grid step. Where the next multiplier would widen several parts and is too much,
    only the last ones are widened, as many as the budget allows. Narrow the genes' architecture
    each time, never a fitted one: rounding twice narrows twice.

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
    narrow = scale(arch, steps[low], grid)
    if high == len(steps):
        return narrow
    between = _between(narrow, scale(arch, steps[high], grid), arch)
    inside = [narrow, *(a for a in between if budget.allows(a.cost(task)))]
    return max(inside, key=lambda a: budget.used(a.cost(task)))


def _between(narrow: Arch, wide: Arch, arch: Arch) -> Iterator[Arch]:
    """Iterate over versions as wide as `wide` from some part on, the part ever later.

    Neighbours that are equally wide in `arch` stay so.
    """
    widths = _widths(arch)
    for k in range(1, len(widths)):
        if widths[k] != widths[k - 1]:
            yield _with_widths(arch, _widths(narrow)[:k] + _widths(wide)[k:])


def scale(arch: Arch, multiplier: float, grid: int = GRID) -> Arch:
    """Return `arch` with all widths multiplied by `multiplier` and rounded down to `grid`."""
    scaled = (int(width * multiplier + 1e-9) // grid * grid for width in _widths(arch))
    least = (min(width, grid) for width in _widths(arch))
    return _with_widths(arch, [*map(max, scaled, least)])


def _widths(arch: Arch) -> list[int]:
    return [arch.stem.width, *(stage.width for stage in arch.stages), arch.head.width]


def _with_widths(arch: Arch, widths: list[int]) -> Arch:
    stem, *stages, head = widths
    return replace(
        arch,
        stem=replace(arch.stem, width=stem),
        stages=tuple(replace(s, width=w) for s, w in zip(arch.stages, stages, strict=True)),
        head=replace(arch.head, width=head),
    )


def _multipliers(arch: Arch, grid: int, most: float) -> list[float]:
    """Return every multiplier at or below `most` at which some width changes, ascending."""
    widths = set(_widths(arch)) - {0}
    steps = {k * grid / width for width in widths for k in range(1, int(width * most) // grid + 1)}
    return sorted(step for step in steps | {grid / max(widths)} if step <= most)
