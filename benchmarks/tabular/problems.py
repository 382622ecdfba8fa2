"""Tables to search: ours of trained networks, and synthetic ones with the structure of real ones.

A synthetic space has six places for one of four of our blocks or nothing: 15,625 architectures, as
many as NAS-Bench-201 has. Of all networks, 94.4 % is the best; one in ten comes within 3 points.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from evaluators.evaluator import Metric
from search_spaces.arch import Arch, Task
from search_spaces.block import BLOCKS, Block, Menu, Site, kind_of
from search_spaces.cost import Cost
from search_spaces.heads import Head
from search_spaces.space import Space, StageSpace
from search_spaces.stems import Stem

from .make import EPOCHS, TABLE
from .space import SPACE, TASK

if TYPE_CHECKING:
    from collections.abc import Callable

ACCURACY, LATENCY = Metric("accuracy", "max"), Metric("latency_ms", "min")
PLACES = 6


@BLOCKS.register("identity")
@dataclass(frozen=True)
class Identity(Block):
    """Nothing; where the shape changes, a mean pool, and channels that are cut or filled with 0."""

    def cost(self, site: Site) -> Cost:
        """Return 0."""
        del site
        return Cost()

    def build(self, site: Site) -> nn.Module:
        """Return the module."""
        return _Resized(site)


class _Resized(nn.Module):
    """The module of `Identity`."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(2, ceil_mode=True) if site.stride == 2 else nn.Identity()
        self.missing = site.c_out - site.c_in

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, ceil(H/stride), ceil(W/stride))."""
        return F.pad(self.pool(x), (0, 0, 0, 0, 0, self.missing))  # a negative number cuts


@dataclass(frozen=True, eq=False)
class Table:
    """A space of which all figures are known.

    Attributes:
        space: its architectures.
        task: what they are for.
        truth: digest -> mean accuracy and latency.
        noise: standard deviation of the accuracy of one training.
        runs: digest -> what trainings reported; None: the truth with noise stands for them.
    """

    space: Space
    task: Task
    truth: dict[str, tuple[float, float]]
    noise: float
    runs: dict[str, tuple[float, ...]] | None = None

    def signals(self, seed: int) -> dict[str, float]:
        """Return what one training of each architecture reports as its accuracy."""
        rng = np.random.default_rng(seed)
        if self.runs is not None:
            return {d: runs[rng.integers(len(runs))] for d, runs in self.runs.items()}
        noise = rng.normal(scale=self.noise, size=len(self.truth))
        return {d: a + e for (d, (a, _)), e in zip(self.truth.items(), noise, strict=True)}


def trained() -> Table:
    """Return the table of trained networks; the noise is that between two seeds."""
    accuracies: dict[str, list[float]] = {}
    latencies: dict[str, float] = {}
    with TABLE.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            accuracies.setdefault(line["digest"], []).append(
                100 * float(line[f"accuracy_{EPOCHS}"])
            )
            latencies.setdefault(line["digest"], float(line["latency_ms"]))
    pairs = np.array([runs for runs in accuracies.values() if len(runs) == 2])
    noise = float(np.sqrt(np.mean((pairs[:, 0] - pairs[:, 1]) ** 2) / 2))
    truth = {d: (float(np.mean(runs)), latencies[d]) for d, runs in accuracies.items()}
    return Table(SPACE, TASK, truth, noise)


def _menu(kind: str) -> Menu:
    block = BLOCKS[kind]
    return block.over(**{name: (getattr(block(), name),) for name in block.knobs()})


def chain(name: str, kinds: tuple[str, ...], places: int) -> Space:
    """Return a space of so many places, each with a block of one of the kinds."""
    place = StageSpace((16,), (1,), 1, tuple(map(_menu, kinds)))
    return Space(name, Stem(width=16), (16,), (place,) * places, Head(), (0,))


KINDS = ("identity", "shufflev2", "csc", "active_shift", "mbconv")
CELL = chain("cell", KINDS, PLACES)
CELL_TASK = Task(classes=10, shape=(3, 32, 32))


@cache
def _cells() -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the choices (15625, 6) of all cells, and their digests."""
    choices = np.array(list(product(range(len(KINDS)), repeat=PLACES)))
    codes = {kind: i for i, kind in enumerate(KINDS)}
    digests = {_choices(arch, codes): arch.digest for arch in CELL.enumerate()}
    return choices, tuple(digests[tuple(row)] for row in choices.tolist())


def _choices(arch: Arch, codes: dict[str, int]) -> tuple[int, ...]:
    return tuple(codes[kind_of(type(stage.blocks[0]))] for stage in arch.stages)


def _table(name: str, accuracy: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Table:
    choices, digests = _cells()
    rng = np.random.default_rng(sum(map(ord, name)))
    accuracies = accuracy(choices, rng)
    times = np.array([0.05, 0.5, 0.7, 0.6, 1.2]) * rng.uniform(0.7, 1.3, (PLACES, 5))
    latencies = 1 + times[np.arange(PLACES), choices].sum(axis=1)
    pairs = zip(accuracies.tolist(), latencies.tolist(), strict=True)
    return Table(CELL, CELL_TASK, dict(zip(digests, pairs, strict=True)), noise=0.25)


def pairwise(strength: float) -> Table:
    """Return a table of main effects and effects of pairs, `strength` times as large."""

    def accuracy(choices: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        places = np.arange(PLACES)
        effects = rng.normal(size=(PLACES, 5)) * rng.uniform(0.3, 1.5, (PLACES, 1))
        main, pairs = effects[places, choices].sum(axis=1), np.zeros(len(choices))
        for i in places:
            for j in range(i):
                effect = rng.normal(size=(5, 5)) * rng.uniform(0, 1)
                pairs += effect[choices[:, i], choices[:, j]]
        value = main / main.std() + strength * pairs / pairs.std()
        value += 0.15 * rng.normal(size=len(choices))  # what no order of effects explains
        value = (value - value.mean()) / value.std()
        return 94.5 - 3 * np.log1p(np.exp(1.3 * (1.6 - value)))  # the top is narrow

    return _table(f"pairs x {strength:g}", accuracy)


def paths(number: int) -> Table:
    """Return a table after NAS-Bench-201: the places are edges of a graph of four nodes.

    An edge off every path does not matter, more and deeper paths of convolutions help with
    diminishing returns, and without a path there is chance level.
    """

    def accuracy(choices: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        worth = np.array([0, 0, -0.35, 1, 1.6]) + rng.normal(0, 0.12, (PLACES, 5))
        used, depth = np.zeros(choices.shape, dtype=bool), np.zeros(len(choices))
        for path in ([3], [0, 4], [1, 5], [0, 2, 5]):
            whole = (choices[:, path] > 0).all(axis=1)
            used[:, path] |= whole[:, None]
            depth = np.maximum(depth, whole * (choices[:, path] >= 3).sum(axis=1))
        value = np.where(used, worth[np.arange(PLACES), choices], 0).sum(axis=1)
        for i in range(PLACES):
            for j in range(i):
                effect = rng.normal(0, 0.12, (5, 5))[choices[:, i], choices[:, j]]
                value += np.where(used[:, i] & used[:, j], effect, 0)
        value = 1.2 * np.sqrt(np.maximum(value + 1, 0)) + 0.6 * np.minimum(depth, 2)
        value += 0.05 * rng.normal(size=len(choices))
        return np.where(used.any(axis=1), 94.5 - 28 * np.exp(-value), 10.0)

    return _table(f"paths {number}", accuracy)


TABLES: dict[str, Callable[[], Table]] = {
    "trained": trained,
    "pairs": partial(pairwise, 0.5),
    "more-pairs": partial(pairwise, 1),
    "paths": partial(paths, 1),
    "other-paths": partial(paths, 2),
}


@cache
def table(name: str) -> Table:
    """Return the table called `name`, or what a file holds: "macro:FILE" or "cells:FILE"."""
    kind, _, path = name.partition(":")
    if path:
        from . import published  # it builds on this module

        return {"macro": published.macro, "cells": published.cells}[kind](Path(path))
    return TABLES[name]()
