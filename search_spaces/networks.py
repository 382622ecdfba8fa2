"""Published networks as plain architectures, with the figures that were published for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from .arch import Arch, Task
from .registry import Registry

IMAGENET = Task(classes=1000, shape=(3, 224, 224))
CIFAR10 = Task(classes=10, shape=(3, 32, 32))
_OTHERS = {  # who published figures of other people's networks, and where
    "Chen et al. 2018": "Chen et al. 2018, arXiv:1804.07573",
    "Liu et al. 2024": "Liu et al. 2024, arXiv:2404.07236",
    "torchvision": "torchvision's weights",
}


class Figure(NamedTuple):
    """A published number and who says so: "paper", "code" (the authors'), or somebody else."""

    value: float
    by: str


@dataclass(frozen=True)
class Published:
    """A network of the literature.

    Attributes:
        arch: the network.
        source: the paper.
        params: learned numbers; published numbers are rounded or truncated as they were printed.
        macs: multiply-adds, which most papers call FLOPs.
        top1: share of `task`'s test images in percent whose first guess is right.
        top5: the same for the first five guesses.
        code: the repository of the authors' code, whose README has figures too.
        departures: what differs from the publication, and why its figures may; one line.
        task: the images and classes of the publication.
    """

    arch: Arch
    source: str
    params: Figure | None = None
    macs: Figure | None = None
    top1: Figure | None = None
    top5: Figure | None = None
    code: str = ""
    departures: str = ""
    task: Task = IMAGENET

    def cite(self, figure: Figure) -> str:
        """Return where `figure`, one of this network's, was published."""
        own = {"paper": self.source, "code": f"README of {self.code}"}
        return (own | _OTHERS)[figure.by]


def quoted(
    by: str,
    params: float | None = None,
    macs: float | None = None,
    top1: float | None = None,
    top5: float | None = None,
) -> tuple[Figure | None, Figure | None, Figure | None, Figure | None]:
    """Return the four figures of a network, all from one source."""
    values = (params, macs, top1, top5)
    first, second, third, last = (None if v is None else Figure(v, by) for v in values)
    return first, second, third, last


NETWORKS: Registry[Published] = Registry("network", "search_spaces.presets")

SMALLEST_MAP = 4  # pixels a side that a network should still have before its head


def adapted(arch: Arch, task: Task) -> Arch:
    """Return `arch` for images smaller than it was made for.

    The published networks halve an image of 224 pixels five times. Here halvings are left out from
    the front (the stem's pool, the stem's stride, the first stages' strides) until the last map has
    4 pixels a side, as is common for CIFAR.
    """
    while _last_side(arch, task) < SMALLEST_MAP:
        fewer = _without_first_halving(arch)
        if fewer is None:
            break
        arch = fewer
    return arch


def _last_side(arch: Arch, task: Task) -> int:
    *_, head = arch.parts(task)
    return min(head.site.hw)


def _without_first_halving(arch: Arch) -> Arch | None:
    if arch.stem.pool:
        return replace(arch, stem=replace(arch.stem, pool=False))
    if arch.stem.stride == 2:
        return replace(arch, stem=replace(arch.stem, stride=1))
    for i, stage in enumerate(arch.stages):
        if stage.stride == 2:
            stages = (*arch.stages[:i], replace(stage, stride=1), *arch.stages[i + 1 :])
            return replace(arch, stages=stages)
    return None
