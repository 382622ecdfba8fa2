"""The six families of networks: what stands for each at a budget, and in a space."""

from __future__ import annotations

from functools import partial
from itertools import product
from math import log
from typing import TYPE_CHECKING, Any

from search_spaces.block import BLOCKS
from search_spaces.budget import NO_LIMIT
from search_spaces.networks import NETWORKS, adapted

if TYPE_CHECKING:
    from collections.abc import Callable

    from search_spaces.arch import Arch, Task
    from search_spaces.budget import Budget
    from search_spaces.space import Space

FAMILIES = {  # the network that stands for each family without a budget, and the family's block
    "mobilenetv2-1.0": "mbconv",
    "shufflenetv2-1.0": "shufflev2",
    "espnetv2-1.0": "eesp",
    "shiftnet-b": "csc",
    "asresnet-w32": "active_shift",
    "fenet-1.0": "fe",
}
_STEPS = [0.5, 0.4, 0.3, 0.2, 0.1, 0.0]  # places among the choices of a width or a depth
_LEVELS = sorted(product(_STEPS, _STEPS), key=sum, reverse=True)  # of widths, and of depths


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


def one_family_each(space: Space, allows: Callable[[Arch], bool] = lambda _: True) -> list[Arch]:
    """Return an architecture of the space for each of the six families that it offers.

    All its blocks are of the family's kind, with the kind's default knobs or the nearest choices;
    widths and depths are the middle ones, or lower ones that `allows` wants, as few steps lower as
    possible.
    """
    kinds = set.intersection(*({m.kind for m in stage.blocks} for stage in space.stages))
    archs = []
    for kind in FAMILIES.values():
        if kind in kinds:
            drawn = [space.draw(partial(_choose, kind, *levels)) for levels in _LEVELS]
            archs.append(next(filter(allows, drawn), drawn[-1]))
    return archs


def _choose(kind: str, width: float, depth: float, gene: str, choices: tuple[Any, ...]) -> Any:
    *_, owner, name = ("", *gene.split("."))
    if name == "kind":
        return kind
    if owner != kind:
        return choices[int(len(choices) * (depth if name == "depth" else width))]
    default = getattr(BLOCKS[kind](), name)
    if default in choices:
        return default
    if isinstance(default, str):  # no choice is nearer than another
        return choices[0]
    return min(choices, key=lambda c: abs(c - default))
