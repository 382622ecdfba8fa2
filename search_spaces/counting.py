"""How many architectures of a space have which cost: dynamic programming over the blocks.

A network is a walk from the stem to the head. What the rest of a walk may cost depends on where it
stands (stage, width, number of blocks) and on nothing else, because a block's cost follows from its
site. So one row of numbers for each place, how many ways go on from there with at most so much more
cost, holds the whole space: the first place's row counts it, and a walk that chooses its moves in
proportion to these numbers is a fair draw.

Costs are those above the cheapest way to go on, in bins, rounded up: a sum of them is never below
the true cost, so an upper limit cannot be broken. Where a bin holds a single cost, all is exact.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import replace
from math import gcd
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from .arch import Arch, Part, Spec, Stage, Task
from .block import Block, Site
from .cost import norm_cost, shrink
from .heads import Head
from .space import Space, variants
from .stems import Stem

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator

    from .cost import Size

CELLS = 1 << 23  # numbers in a table, 8 bytes each
_Array = np.ndarray[Any, np.dtype[Any]]
Uniform = Literal["arch", "gene"]  # what is uniform: all architectures, or each gene in turn


class Place(NamedTuple):
    """Where a walk stands: in stage -1 before the stem, in that behind the last before the head.

    A space of several resolutions has all places for each, and one before that is chosen.
    """

    stage: int
    width: int = 0  # of the map there
    depth: int = 0  # blocks of the stage so far
    preactivated: bool = False  # whether the network's last block leaves its norm to the tail
    resolution: int | None = None


class Move(NamedTuple):
    """A way to go on; the one without a part ends a stage."""

    part: Stem | Block | Head | int | None  # a number is a resolution
    cost: int
    to: Place | None  # None behind the head
    chance: float  # of the move if every gene is uniform


class Walks:
    """The walks through a space, with costs of one kind.

    Args:
        space: whose architectures are walked.
        task: what they are for.
        cost: "params" or "macs".

    Attributes:
        moves: the moves from each place, places nearer to the head first.
        least: the least that a walk costs from each place on.
        most: the most.
        unit: what divides the differences between all costs.
        length: moves of the longest walk.
    """

    def __init__(self, space: Space, task: Task, cost: str) -> None:
        self.space, self._classes, self._cost = space, task.classes, cost
        self.length = 2 + sum(max(stage.depth) + 1 for stage in space.stages)
        self.length += bool(space.resolution)
        self._images: dict[int | None, tuple[int, int, int]] = {
            side: (task.shape[0], side, side) for side in space.resolution
        } or {None: task.shape}
        self._sizes = {side: _sizes(space, image) for side, image in self._images.items()}
        self._blocks = [
            [
                (block, 1 / len(stage.blocks) / len(found))
                for found in (list(variants(menu)) for menu in stage.blocks)
                for block in found
            ]
            for stage in space.stages
        ]
        self.moves: dict[Place, list[Move]] = {}
        self.least: dict[Place | None, int] = {None: 0}
        self.most: dict[Place | None, int] = {None: 0}
        self._explore(START)
        self.unit = gcd(*(self.excess(p, move) for p in self.moves for move in self.moves[p])) or 1

    def excess(self, place: Place, move: Move) -> int:
        """Return what going on by `move` costs more than the cheapest way from `place`."""
        return move.cost + self.least[move.to] - self.least[place]

    def _explore(self, start: Place) -> None:
        """Enter `start` and all places that it leads to, those first.

        Without recursion: networks may be deeper than Python's stack.
        """
        waiting, ways = [start], {start: list(self._ways(start))}
        while waiting:
            moves = ways[place := waiting[-1]]
            for move in moves:
                if move.to is not None and move.to not in self.moves:
                    ways[move.to] = list(self._ways(move.to))
                    waiting.append(move.to)
                    break
            else:
                self.least[place] = min(move.cost + self.least[move.to] for move in moves)
                self.most[place] = max(move.cost + self.most[move.to] for move in moves)
                self.moves[waiting.pop()] = ways.pop(place)

    def _ways(self, place: Place) -> Iterator[Move]:
        space, side = self.space, place.resolution
        if side not in self._images:
            for side in space.resolution:
                yield Move(side, 0, place._replace(resolution=side), 1 / len(space.resolution))
        elif place.stage < 0:
            channels, *hw = self._images[side]
            for width in space.stem_width:
                stem = replace(space.stem, width=width)
                site = self._site(place, channels, width, stem.total_stride, (hw[0], hw[1]))
                to = Place(0, width, resolution=side)
                yield Move(stem, self._at(stem, site), to, 1 / len(space.stem_width))
        elif place.stage < len(space.stages):
            yield from self._ways_in_stage(place)
        else:
            site = self._site(place, place.width, self._classes, 1, self._sizes[side][-1])
            tail = getattr(norm_cost(place.width), self._cost) if place.preactivated else 0
            for width in space.head_width:
                head = replace(space.head, width=width)
                cost = self._at(head, site) + tail
                yield Move(head, cost, None, 1 / len(space.head_width))

    def _ways_in_stage(self, place: Place) -> Iterator[Move]:
        i, c_in, depth, preactivated, side = place
        stage, sizes, ends = self.space.stages[i], self._sizes[side], 0.0
        if depth in stage.depth:
            ends = 1 / sum(d >= depth for d in stage.depth)
            yield Move(None, 0, Place(i + 1, c_in, 0, preactivated, side), ends)
        if depth == stage.depth[-1]:
            return
        stride, hw = (1, sizes[i + 1]) if depth else (stage.stride, sizes[i])
        widths = (c_in,) if depth else stage.width
        for c_out in widths:
            site = self._site(place, c_in, c_out, stride, hw)
            for block, chance in self._blocks[i]:
                last = i == len(self.space.stages) - 1
                to = Place(i, c_out, depth + 1, last and block.preactivated, side)
                yield Move(block, self._at(block, site), to, (1 - ends) / len(widths) * chance)

    def _site(self, place: Place, c_in: int, c_out: int, stride: int, hw: Size) -> Site:
        return Site(c_in, c_out, stride, hw, self._images[place.resolution])

    def _at(self, spec: Spec, site: Site) -> int:
        return int(getattr(Part("", spec, site).cost, self._cost))


def _sizes(space: Space, image: tuple[int, int, int]) -> list[Size]:
    """Return the sizes of the map before each stage, and before the head."""
    sizes = [shrink((image[1], image[2]), space.stem.total_stride)]
    for stage in space.stages:
        sizes.append(shrink(sizes[-1], stage.stride))
    return sizes


START = Place(-1)


class _Fork(NamedTuple):
    """The moves from one place, those alike in one group, the cheapest first."""

    excess: list[int]  # bins above the cheapest way to go on
    base: _Array  # where to count on from, less the excess
    weight: _Array
    groups: list[tuple[list[Stem | Block | Head | int | None], Place | None]]


class Table:
    """How many ways go on from each place with at most so much more cost.

    Args:
        walks: the walks.
        high: the most that an architecture may cost.
        low: the least that it may cost.
        uniform: count architectures, or add up their chances to be drawn gene by gene.

    Attributes:
        bin: width of a bin; `walks.unit` is exact.
        total: number of architectures within the limits, or the chance to draw one of them.
        nearest: the greatest cost below `low`, rounded up to a whole bin.
    """

    def __init__(self, walks: Walks, high: int, low: int = 0, uniform: Uniform = "arch") -> None:
        least, most, unit = walks.least[START], walks.most[START], walks.unit
        slack = max(0, min(high, most) - least)
        self.bin = unit * (slack // unit // (CELLS // len(walks.moves)) + 1)
        rounding = walks.length if self.bin > unit else 0  # bins that a sum may be above its cost
        self._high = slack // self.bin + (rounding if high >= most else 0)
        self._low = -(-(low - least + rounding * (self.bin - unit)) // self.bin) - 1  # too cheap
        self._space = walks.space
        self._rows: dict[Place | None, int] = {None: 0}
        self._forks: dict[Place, _Fork] = {}
        # Whole numbers are exact while they suffice; fractions have 15 digits.
        kind = np.int64 if uniform == "arch" and walks.space.size() < 2**63 else np.float64
        self._ways: _Array = np.empty((len(walks.moves) + 1, self._high + 1), kind)
        self._ways[0] = 1
        for place, moves in walks.moves.items():
            self._rows[place] = len(self._rows)
            self._forks[place] = self._fork(walks, place, moves, uniform)
            self._count(place)
        self._flat = self._ways.reshape(-1)
        top = self._ways[-1]
        below = top[min(self._low, self._high)] if self._low >= 0 else 0
        self.total = (top[-1] - below).item() if high >= least else 0
        self.nearest = least + self.bin * int(top.searchsorted(below))

    def draw(self, rng: random.Random) -> Arch:
        """Return an architecture within the limits; `total` must not be 0."""
        place: Place | None = START
        high, low = self._high, self._low
        path = []
        while place is not None:
            excess, base, weight, groups = self._forks[place]
            count = bisect_right(excess, high)
            ways = self._flat[base[:count] + high]
            if low >= 0:
                cheap = bisect_right(excess, low)
                ways[:cheap] -= self._flat[base[:cheap] + low]
            sums = (ways * weight[:count]).cumsum()
            choice = int(sums.searchsorted(rng.random() * sums[-1], side="right"))
            parts, to = groups[choice]
            path.append((place, parts[int(rng.random() * len(parts))]))
            high, low, place = high - excess[choice], low - excess[choice], to
        return _arch(self._space, path)

    def _fork(self, walks: Walks, place: Place, moves: Iterable[Move], uniform: Uniform) -> _Fork:
        alike = defaultdict(list)
        for move in moves:
            bins = -(-walks.excess(place, move) // self.bin)
            chance = 1.0 if uniform == "arch" else move.chance
            if bins <= self._high:
                alike[bins, self._rows[move.to], chance, move.to].append(move.part)
        keys = sorted(alike, key=lambda key: key[:3])
        row = self._high + 1
        return _Fork(
            [bins for bins, *_ in keys],
            np.array([after * row - bins for bins, after, *_ in keys]),
            np.array([key[2] * len(alike[key]) for key in keys]).astype(self._ways.dtype),
            [(alike[key], key[3]) for key in keys],
        )

    def _count(self, place: Place) -> None:
        """Fill in the row of `place`; those of the places that it leads to are complete."""
        fork, size = self._forks[place], self._high + 1
        ways = self._ways[self._rows[place]]
        ways[:] = 0
        buffer = np.empty_like(ways)
        for excess, weight, (_, to) in zip(fork.excess, fork.weight, fork.groups, strict=True):
            after = self._ways[self._rows[to], : size - excess]
            ways[excess:] += np.multiply(after, weight, out=buffer[: size - excess])


def _arch(space: Space, path: Iterable[tuple[Place, Stem | Block | Head | int | None]]) -> Arch:
    """Return the architecture of a whole walk."""
    stem, head, resolution = space.stem, space.head, None
    widths: dict[int, int] = {}
    blocks: list[list[Block]] = [[] for _ in space.stages]
    for place, part in path:
        widths[place.stage] = place.width  # the last place in a stage has its width
        if isinstance(part, Block):
            blocks[place.stage].append(part)
        elif isinstance(part, Stem):
            stem = part
        elif isinstance(part, Head):
            head = part
        elif part is not None:
            resolution = part
    stages = [
        Stage(widths[i], stage.stride, tuple(blocks[i])) for i, stage in enumerate(space.stages)
    ]
    return Arch(stem, tuple(stages), head, resolution)
