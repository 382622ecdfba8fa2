"""A search space as data, and the one walk through it.

`Space.draw(choose)` is the only traversal: every algorithm is a function
`choose(gene, choices) -> choice`. Sampling, decoding, mutation, crossover and enumeration are such
functions, and so are the samplers in `nas`. A gene with a single choice is never asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from math import log10, prod
from typing import TYPE_CHECKING, Any, NamedTuple

from .arch import Arch, Stage, check_resolution
from .block import Block, Menu, Value
from .errors import BudgetError, SpecError
from .stage_space import StageSpace, check_ascending

if TYPE_CHECKING:
    import random

    from .arch import Task
    from .budget import Budget
    from .heads import Head
    from .stems import Stem
    from .subspace import Subspace

__all__ = ["Choose", "Gene", "Genes", "Space", "StageSpace", "variants"]

_MOST = 290  # digits of a number of architectures; within a budget, floats count them
Choose = Callable[[str, tuple[Any, ...]], Any]
Genes = dict[str, Value]


class Gene(NamedTuple):
    """One decision: its name and what may be chosen; the choices never depend on other genes."""

    name: str
    choices: tuple[Value, ...]

    @property
    def ordered(self) -> bool:
        """Whether the choices are numbers, so that neighbours resemble each other."""
        return all(type(choice) in (int, float) for choice in self.choices)


class _Slot(NamedTuple):
    """The decisions of one block: its menu, and for each one its class and its knobs' genes."""

    kind: Gene
    knobs: dict[str, tuple[type[Block], tuple[str, ...], tuple[Gene, ...]]]


@dataclass(frozen=True)
class Space:
    """A set of architectures.

    Attributes:
        name: what the space is called in results.
        stem: the stem, but for its width.
        stem_width: widths of the stem, ascending.
        stages: the stages in order.
        head: the head, but for its width.
        head_width: widths of the head's convolution, ascending; 0 is none.
        resolution: sides of the square images, ascending; without any, architectures are for
            images of any size.

    Raises:
        SpecError: a field breaks a rule, a block cannot take a width, or there are more
            architectures than can be counted.
    """

    name: str
    stem: Stem
    stem_width: tuple[int, ...]
    stages: tuple[StageSpace, ...]
    head: Head
    head_width: tuple[int, ...]
    resolution: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.resolution:
            check_ascending("resolution", self.resolution)
            for side in self.resolution:
                check_resolution(side)
        check_ascending("stem.width", self.stem_width)
        check_ascending("head.width", self.head_width, least=0)
        if not self.stages:
            raise SpecError("`stages` of a space must hold at least one stage")
        self._check_channels()
        if sum(max(stage.depth) * log10(stage.variants) for stage in self.stages) > _MOST:
            raise SpecError(
                f"a space must hold at most 1e{_MOST} architectures: give less depth or fewer "
                "choices of blocks"
            )

    def draw(self, choose: Choose) -> Arch:
        """Build the architecture that `choose` decides on, gene by gene."""

        def pick(gene: Gene) -> Any:
            return gene.choices[0] if len(gene.choices) == 1 else choose(gene.name, gene.choices)

        resolution, stem_width, stages, head_width = self._plan
        side = pick(resolution)
        drawn_stem = _stem(self.stem, pick(stem_width))
        drawn = []
        for stage, (width, depth, slots) in zip(self.stages, stages, strict=True):
            drawn_width, blocks = pick(width), []
            for slot in slots[: pick(depth)]:
                block, names, genes = slot.knobs[pick(slot.kind)]
                values = tuple([pick(gene) for gene in genes])
                blocks.append(_block(block, names, values))  # type: ignore[arg-type]  # it hashes
            drawn.append(Stage(drawn_width, stage.stride, tuple(blocks)))
        return Arch(drawn_stem, tuple(drawn), _head(self.head, pick(head_width)), side)

    def genes(self) -> tuple[Gene, ...]:
        """Return all genes with more than one choice, in the order in which `draw` meets them."""
        return self._genes

    def conditions(self) -> dict[str, tuple[str, tuple[Value, ...]]]:
        """Return, for each gene that may be dormant, a gene that comes before it and wakes it.

        It is active where that gene is active and takes one of the values beside its name.
        """
        found: dict[str, tuple[str, tuple[Value, ...]]] = {}
        for stage, (_, depth, slots) in zip(self.stages, self._plan[2], strict=True):
            for j, slot in enumerate(slots):
                deep = depth.name, tuple(d for d in stage.depth if d > j)
                sometimes, several = len(deep[1]) < len(stage.depth), len(slot.knobs) > 1
                if sometimes:
                    found[slot.kind.name] = deep
                for label, (_, _, genes) in slot.knobs.items():
                    wakes = (slot.kind.name, (label,)) if several else deep
                    if several or sometimes:
                        found |= {gene.name: wakes for gene in genes}
        return {gene.name: found[gene.name] for gene in self._genes if gene.name in found}

    def encode(self, arch: Arch) -> Genes:
        """Return the active genes of `arch`: `decode` gives it back.

        Raises:
            SpecError: `arch` is not of this space; the message names the first gene that differs.
        """
        values = _values(arch, self.stages)
        active: Genes = {}

        def recall(name: str, choices: tuple[Any, ...]) -> Any:
            if values.get(name) not in choices:
                got = values.get(name)
                raise SpecError(f"{self.name}: gene {name!r} takes {choices}, but got {got!r}")
            active[name] = values[name]
            return active[name]

        if self.draw(recall) != arch:
            raise SpecError(f"{self.name}: the architecture's fixed parts differ: {arch}")
        return active

    def decode(self, genes: Mapping[str, Value]) -> Arch:
        """Return the architecture of `genes`, dormant ones ignored.

        Raises:
            SpecError: a gene that is needed is missing.
        """
        try:
            return self.draw(lambda name, _: genes[name])
        except KeyError as error:
            raise SpecError(f"{self.name}: gene {error} is missing") from None

    def size(self) -> int:
        """Return the number of architectures, in closed form."""
        ends = len(self._sides) * len(self.stem_width) * len(self.head_width)
        return ends * prod(stage.size for stage in self.stages)

    def within(self, budget: Budget, task: Task, least: Budget | None = None) -> Subspace:
        """Return the architectures that cost at most `budget` for `task`, and at least `least`.

        Raises:
            BudgetError: there are none; the message has the nearest cost.
        """
        from .subspace import within  # which builds on this module

        return within(self, budget, task, *([] if least is None else [least]))

    def count(self, budget: Budget, task: Task, least: Budget | None = None) -> int:
        """Return how many architectures there are `within` the limits; see `Subspace.size`."""
        try:
            return self.within(budget, task, least).size()
        except BudgetError:
            return 0

    def sample(
        self, rng: random.Random, budget: Budget | None = None, task: Task | None = None
    ) -> Arch:
        """Return an architecture, each gene uniform; or one of those within a budget for `task`.

        Raises:
            BudgetError: there are none.
        """
        if budget is not None:
            if task is None:
                raise SpecError("a `budget` needs a `task`: costs depend on the images and classes")
            return self.within(budget, task).sample(rng)
        draw = rng.random
        return self.draw(lambda _, choices: choices[int(draw() * len(choices))])

    def mutate(self, arch: Arch, rng: random.Random) -> Arch:
        """Return `arch` with one active gene changed; genes that wake up are drawn afresh."""
        genes = self.encode(arch)
        if not genes:
            return arch
        mutated = rng.choice(sorted(genes))

        def replay(name: str, choices: tuple[Any, ...]) -> Any:
            if name == mutated:
                return rng.choice([c for c in choices if c != genes[name]])
            return genes[name] if name in genes else rng.choice(choices)

        return self.draw(replay)

    def crossover(self, first: Arch, second: Arch, rng: random.Random) -> Arch:
        """Return a child with genes of either parent, drawn afresh where neither has one."""
        parents = self.encode(first), self.encode(second)

        def inherit(name: str, choices: tuple[Any, ...]) -> Any:
            known = [genes[name] for genes in parents if name in genes]
            return rng.choice(known or choices)

        return self.draw(inherit)

    def enumerate(self) -> Iterator[Arch]:
        """Iterate over all architectures, each once."""
        path: list[int] = []  # the choice taken at each gene asked, in order
        while True:
            counts: list[int] = []

            def follow(_: str, choices: tuple[Any, ...]) -> Any:
                if len(counts) == len(path):  # noqa: B023  # called within this turn only
                    path.append(0)
                counts.append(len(choices))  # noqa: B023
                return choices[path[len(counts) - 1]]  # noqa: B023

            yield self.draw(follow)
            while path and path[-1] == counts[len(path) - 1] - 1:
                path.pop()
            if not path:
                return
            path[-1] += 1

    @property
    def _sides(self) -> tuple[Any, ...]:
        """What `resolution` an architecture may have."""
        return self.resolution or (None,)

    @cached_property
    def _plan(self) -> tuple[Gene, Gene, list[tuple[Gene, Gene, list[_Slot]]], Gene]:
        stages = []
        for i, stage in enumerate(self.stages):
            slots = [_slot(f"s{i}.b{j}", stage) for j in range(max(stage.depth))]
            width, depth = Gene(f"s{i}.width", stage.width), Gene(f"s{i}.depth", stage.depth)
            stages.append((width, depth, slots))
        ends = Gene("stem.width", self.stem_width), Gene("head.width", self.head_width)
        return Gene("resolution", self._sides), ends[0], stages, ends[1]

    @cached_property
    def _genes(self) -> tuple[Gene, ...]:
        resolution, stem_width, stages, head_width = self._plan
        genes = [resolution, stem_width]
        for width, depth, slots in stages:
            genes += [width, depth]
            for slot in slots:
                genes.append(slot.kind)
                genes += [gene for _, _, knobs in slot.knobs.values() for gene in knobs]
        return tuple(gene for gene in [*genes, head_width] if len(gene.choices) > 1)

    def _check_channels(self) -> None:
        """Refuse widths that some block of the stage cannot take, before a search meets them."""
        widths = self.stem_width
        for i, stage in enumerate(self.stages):
            for menu in stage.blocks:
                for block in _legal(menu, f"$.stages[{i}]"):
                    bad = [w for w in widths + stage.width if w % block.multiple_of]
                    if bad:
                        raise SpecError(
                            f"$.stages[{i}]: {menu.kind} with {block} needs multiples of "
                            f"{block.multiple_of}, but a width may be {bad[0]}"
                        )
            widths = stage.width


def variants(menu: Menu) -> Iterator[Block]:
    """Iterate over all blocks of `menu`."""
    genes = [Gene(name, choices) for name, choices in menu.knobs]
    total = prod(len(gene.choices) for gene in genes)
    for index in range(total):
        values = {}
        for gene in genes:
            index, digit = divmod(index, len(gene.choices))
            values[gene.name] = gene.choices[digit]
        yield menu.block(**values)


def _legal(menu: Menu, path: str) -> Iterator[Block]:
    """Iterate over all blocks of `menu`, or say at which `path` one breaks a rule."""
    try:
        yield from variants(menu)
    except SpecError as error:
        raise SpecError(f"{path}: {menu.kind}: {error}") from None


def _slot(prefix: str, stage: StageSpace) -> _Slot:
    knobs = {}
    for label, menu in zip(stage.labels, stage.blocks, strict=True):
        genes = [Gene(f"{prefix}.{label}.{knob}", choices) for knob, choices in menu.knobs]
        knobs[label] = menu.block, tuple(knob for knob, _ in menu.knobs), tuple(genes)
    return _Slot(Gene(f"{prefix}.kind", tuple(knobs)), knobs)


def _values(arch: Arch, stages: tuple[StageSpace, ...]) -> Genes:
    """Return the genes that `arch` would have in a space of `stages`, be it of that or not."""
    values: Genes = {"stem.width": arch.stem.width, "head.width": arch.head.width}
    if arch.resolution is not None:
        values["resolution"] = arch.resolution
    for i, (stage, offered) in enumerate(zip(arch.stages, stages, strict=False)):
        values |= {f"s{i}.width": stage.width, f"s{i}.depth": len(stage.blocks)}
        for j, block in enumerate(stage.blocks):
            label = offered.label(block)
            values[f"s{i}.b{j}.kind"] = label
            for name in vars(block):
                values[f"s{i}.b{j}.{label}.{name}"] = getattr(block, name)
    return values


@cache
def _block(block: type[Block], knobs: tuple[str, ...], values: tuple[Value, ...]) -> Block:
    return block(**dict(zip(knobs, values, strict=True)))


@cache
def _stem(stem: Stem, width: int) -> Stem:
    return replace(stem, width=width)


@cache
def _head(head: Head, width: int) -> Head:
    return replace(head, width=width)
