"""The six families of networks: what stands for each at a budget, and in a space."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import log
from typing import TYPE_CHECKING, Any, NamedTuple

from search_spaces.block import Block
from search_spaces.budget import NO_LIMIT
from search_spaces.networks import NETWORKS, adapted

if TYPE_CHECKING:
    from search_spaces.arch import Arch, Part, Task
    from search_spaces.budget import Budget
    from search_spaces.subspace import Subspace

FAMILIES = {  # the network that stands for each family without a budget, and the family's block
    "mobilenetv2-1.0": "mbconv",
    "shufflenetv2-1.0": "shufflev2",
    "espnetv2-1.0": "eesp",
    "shiftnet-b": "csc",
    "asresnet-w32": "active_shift",
    "fenet-1.0": "fe",
}
_SHARES = [1.0, 0.8, 0.6, 0.4, 0.2, 0.0]  # of a network's widths, and of its depths
_SMALLER = [(wide, deep) for deep, wide in product(_SHARES, _SHARES)]  # narrower at first


def variant(name: str, budget: Budget, task: Task) -> str:
    """Return the variant of a network's family whose costs for `task` are nearest to the budget.

    Only those with a published ImageNet accuracy are looked at. Without a budget it is `name`.
    """
    if budget == NO_LIMIT:
        return name
    family = name.rpartition("-")[0]
    used = {
        other: budget.used(adapted(published.arch, task).cost(task))
        for other, published in NETWORKS.items()
        if other.rpartition("-")[0] == family and published.top1
    }
    return min(used, key=lambda other: abs(log(used[other])))


def one_family_each(inside: Subspace) -> list[Arch]:
    """Return the architecture nearest to each of the six families that the space offers.

    Nearest to the family's `variant` in the widths, depths and knobs that it has at each size of
    the map; where that is over the limits, to a narrower and shallower one, as little as possible,
    and then to one of the next lower resolution.
    """
    kinds = set.intersection(*({m.kind for m in stage.blocks} for stage in inside.space.stages))
    return [_one(name, kind, inside) for name, kind in FAMILIES.items() if kind in kinds]


def _one(name: str, kind: str, inside: Subspace) -> Arch:
    network = NETWORKS[variant(name, inside.budget, inside.task)].arch
    for side in _sides(inside):
        sized = replace(network, resolution=side)
        model = adapted(sized, inside.task)
        for shares in _SMALLER:
            arch = _nearest(model, kind, inside, *shares)
            if inside.allows(arch):
                return arch
    return arch


def _sides(inside: Subspace) -> list[int | None]:
    """Return the resolution nearest to the task's, then the lower ones; [None] if there is none."""
    sides, own = inside.space.resolution, inside.task.shape[1]
    if not sides:
        return [None]
    nearest = min(sides, key=lambda side: abs(side - own))
    return [side for side in reversed(sides) if side <= nearest]


class _Shape(NamedTuple):
    """What a network has where the space has a stage."""

    width: float
    depth: int
    units: list[Part]


def _nearest(model: Arch, kind: str, inside: Subspace, wide: float, deep: float) -> Arch:
    """Return the architecture of blocks of `kind` nearest to shares of a network's shape."""
    shapes = _shapes(model, inside)
    wanted = {"stem.width": wide * model.stem.width, "head.width": wide * model.head.width}
    wanted["resolution"] = model.resolution or 0
    for i, shape in enumerate(shapes):
        wanted |= {f"s{i}.width": wide * shape.width, f"s{i}.depth": deep * shape.depth}

    def choose(gene: str, choices: tuple[Any, ...]) -> Any:
        if gene in wanted:
            return min(choices, key=lambda choice: abs(choice - wanted[gene]))
        stage, unit, *_, name = gene.split(".")
        units = shapes[int(stage[1:])].units
        spec = units[min(int(unit[1:]), len(units) - 1)].spec
        if name == "kind":  # of several menus of the kind the one that holds the unit, if any
            stage_space = inside.space.stages[int(stage[1:])]
            label = stage_space.label(spec) if isinstance(spec, Block) else kind
            return label if label in choices and label.partition("#")[0] == kind else kind
        knob = getattr(spec, name)
        if knob in choices or isinstance(knob, str):  # no other word is nearer
            return knob if knob in choices else choices[0]
        return min(choices, key=lambda choice: abs(choice - knob))

    return inside.space.draw(choose)


def _shapes(model: Arch, inside: Subspace) -> list[_Shape]:
    """Return what `model` has at the size of the map of each stage of the space.

    Stages of one size share the units of that size. Where there are none, the width follows from
    those of the next size, since widths double as sides halve.
    """
    units: dict[int, list[Part]] = {}
    for part in _units(model, inside.task):
        units.setdefault(part.site.hw_out[0], []).append(part)
    drawn = replace(inside.space.draw(lambda _, choices: choices[0]), resolution=model.resolution)
    first = _units(drawn, inside.task)
    sides = [part.site.hw_out[0] for part in first if part.name.endswith("_block0")]
    shapes = []
    for i, side in enumerate(sides):
        nearest = min(units, key=lambda other: abs(log(other / side)))
        k, n, there = sides[:i].count(side), sides.count(side), units[nearest]
        mine = there[k * len(there) // n : (k + 1) * len(there) // n] or there[-1:]
        depth = len(mine) if nearest == side else 0
        width = mine[-1].site.c_out * nearest / side
        shapes.append(_Shape(width, depth, mine))
    return shapes


def _units(arch: Arch, task: Task) -> list[Part]:
    return [part for part in arch.parts(task) if isinstance(part.spec, Block)]
