"""What thousands of rows of a space's genome cost, by looking up each block: exact, and quick."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from search_spaces.arch import Part
from search_spaces.block import Site
from search_spaces.cost import FLOAT_BYTES, norm_cost, shrink
from search_spaces.space import variants

if TYPE_CHECKING:
    from search_spaces.arch import Spec, Task
    from search_spaces.block import Block
    from search_spaces.cost import Cost, Size
    from search_spaces.space import Space, StageSpace

    from ._genome import Array

COUNTED = ("params", "macs", "memory_access", "size_bytes")  # what adds up over the blocks


class CostTable:
    """The costs of every part at every place, in tables, for each resolution of the space.

    Args:
        space: whose parts they are.
        task: what costs are for.
    """

    def __init__(self, space: Space, task: Task) -> None:
        images = [(task.shape[0], side, side) for side in space.resolution] or [task.shape]
        self._tables = [_TableOfSize(space, replace(task, shape=image)) for image in images]
        names = [gene.name for gene in space.genes()]
        self._column = names.index("resolution") if "resolution" in names else None

    def __call__(self, rows: Array) -> Array:
        """Return (N, 4): the figures `COUNTED` of `rows` (N, G)."""
        if self._column is None:
            return self._tables[0](rows)
        size, found = rows[:, self._column], np.zeros((len(rows), len(COUNTED)), dtype=int)
        for choice, table in enumerate(self._tables):
            found[size == choice] = table(rows[size == choice])
        return found


class _TableOfSize:
    """A `CostTable` for images of one size."""

    def __init__(self, space: Space, task: Task) -> None:
        self._space, self._image = space, task.shape
        self._place = {gene.name: i for i, gene in enumerate(space.genes())}
        channels, *hw = task.shape
        sizes: list[Size] = [(hw[0], hw[1])]
        site = Site(channels, 1, space.stem.total_stride, sizes[0], task.shape)
        stems = [replace(space.stem, width=width) for width in space.stem_width]
        self._stem = np.array([_at(s, replace(site, c_out=s.width)) for s in stems])
        sizes = [site.hw_out]
        for stage in space.stages:
            sizes.append(shrink(sizes[-1], stage.stride))
        widths = [space.stem_width, *(stage.width for stage in space.stages)]
        self._first = [
            self._table(stage, widths[i], stage.stride, sizes[i])
            for i, stage in enumerate(space.stages)
        ]
        self._later = [
            self._table(stage, None, 1, sizes[i + 1]) for i, stage in enumerate(space.stages)
        ]
        heads = [replace(space.head, width=width) for width in space.head_width]
        self._head = np.array(
            [
                [_at(head, Site(w, task.classes, 1, sizes[-1], task.shape)) for head in heads]
                for w in widths[-1]
            ]
        )
        self._tail = np.array([_row(norm_cost(w)) for w in widths[-1]])

    def __call__(self, rows: Array) -> Array:
        width = self._choice(rows, "stem.width")
        total: Array = self._stem[width]
        last = np.zeros(len(rows), dtype=bool)
        for i, stage in enumerate(self._space.stages):
            c_in, width = width, self._choice(rows, f"s{i}.width")
            depth = np.array(stage.depth)[self._choice(rows, f"s{i}.depth")]
            preactivated = np.array([block.preactivated for block in _blocks(stage)])
            for j in range(max(stage.depth)):
                block = self._block(rows, f"s{i}.b{j}", stage)
                found = self._later[i][block, width] if j else self._first[i][block, c_in, width]
                total = total + found * (depth > j)[:, None]
                last = np.where(depth > j, preactivated[block], last)
        total = total + self._head[width, self._choice(rows, "head.width")]
        total += self._tail[width] * last[:, None]
        return total

    def _choice(self, rows: Array, gene: str) -> Array:
        """Return (N,) the index of the choice; 0 where there is none or it is dormant."""
        if gene not in self._place:
            return np.zeros(len(rows), dtype=int)
        index: Array = np.maximum(rows[:, self._place[gene]].astype(int), 0)
        return index

    def _block(self, rows: Array, slot: str, stage: StageSpace) -> Array:
        """Return (N,) the index of the block among all of the stage, as `_blocks` counts them."""
        kind = self._choice(rows, f"{slot}.kind")
        index, start = np.zeros(len(rows), dtype=int), 0
        for code, (label, menu) in enumerate(zip(stage.labels, stage.blocks, strict=True)):
            variant, size = np.zeros(len(rows), dtype=int), 1
            for knob, choices in menu.knobs:
                variant += size * self._choice(rows, f"{slot}.{label}.{knob}")
                size *= len(choices)
            index = np.where(kind == code, start + variant, index)
            start += size
        return index

    def _table(
        self, stage: StageSpace, c_in: tuple[int, ...] | None, stride: int, hw: Size
    ) -> Array:
        """Return (blocks, c_in, width, 4), or (blocks, width, 4) of blocks that keep the width."""
        found = []
        for block in _blocks(stage):
            ways = [[(c, w) for w in stage.width] for c in c_in or ()]
            ways = ways or [[(w, w) for w in stage.width]]
            sites = [[Site(c, w, stride, hw, self._image) for c, w in row] for row in ways]
            found.append([[_at(block, site) for site in row] for row in sites])
        table = np.array(found)
        return table if c_in else table[:, 0]


def _blocks(stage: StageSpace) -> list[Block]:
    return [block for menu in stage.blocks for block in variants(menu)]


def _at(spec: Spec, site: Site) -> list[int]:
    return _row(Part("", spec, site).cost)


def _row(cost: Cost) -> list[int]:
    return [cost.params, cost.macs, cost.memory_access, FLOAT_BYTES * cost.params]
