"""An architecture as frozen data: what it is, what it costs, how it is written down."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

from .block import Block, Site, kind_of
from .codec import from_plain, to_plain
from .cost import SIDES, Cost
from .errors import NasError, SpecError
from .heads import Head, Tail
from .stems import Stem  # noqa: TC001  # the codec reads the hints of `Arch`
from .strict_json import parse_json
from .text import blocks_to_text, call_to_text, text_to_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

SCHEMA = 1


@dataclass(frozen=True)
class Task:
    """What a network is for: how many classes it tells apart in images of which shape (C, H, W)."""

    classes: int
    shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise SpecError(f"`classes` (={self.classes}) must be at least 2")
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise SpecError(f"`shape` (={self.shape}) must be three positive numbers: C, H, W")

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.shape))}, {self.classes} classes"


@dataclass(frozen=True)
class Stage:
    """Blocks in a row that share an output width; the first one carries the stride."""

    width: int
    stride: int = 1
    blocks: tuple[Block, ...] = ()

    def __post_init__(self) -> None:
        if self.stride not in (1, 2):
            raise SpecError(f"`stride` (={self.stride}) of a stage must be 1 or 2")
        if self.width < 1:
            raise SpecError(f"`width` (={self.width}) of a stage must be at least 1")
        if not self.blocks:
            raise SpecError("`blocks` of a stage must hold at least one block")


class Spec(Hashable, Protocol):
    """What stem, blocks, tail and head have in common."""

    def cost(self, site: Site) -> Cost:
        """Return what the part costs at `site`."""

    def build(self, site: Site) -> nn.Module:
        """Return the part's module."""


class Part(NamedTuple):
    """One element of a network, in the order of computation."""

    name: str
    spec: Spec
    site: Site

    @property
    def cost(self) -> Cost:
        """What this part costs."""
        return _part_cost(self.spec, self.site)


@dataclass(frozen=True)
class Arch:
    """A network without its weights and its classes: see `Task` for those.

    Attributes:
        stem: the way in.
        stages: the blocks.
        head: the way out.
        resolution: side of the square images that it is for; None is those of any `Task`. It is
            not written where it is None, so that digests are what they were before it was there.

    Raises:
        SpecError: a block meets a width that it cannot take, or the resolution is out of range.
    """

    stem: Stem
    stages: tuple[Stage, ...]
    head: Head
    resolution: int | None = None

    def __post_init__(self) -> None:
        if self.resolution is not None:
            check_resolution(self.resolution)
        c_in = self.stem.width
        for i, stage in enumerate(self.stages):
            for j, block in enumerate(stage.blocks):
                multiple = block.multiple_of
                if c_in % multiple or stage.width % multiple:
                    raise SpecError(
                        f"$.stages[{i}].blocks[{j}]: {kind_of(type(block))} needs widths that are "
                        f"multiples of {multiple}, but got {c_in} -> {stage.width}"
                    )
                c_in = stage.width
        if c_in % self.head.groups:
            raise SpecError(f"$.head: `groups` (={self.head.groups}) must divide {c_in}")

    def on(self, task: Task) -> Task:
        """Return `task` with the images at the resolution of this architecture, if it has one."""
        if self.resolution is None:
            return task
        return Task(task.classes, (task.shape[0], self.resolution, self.resolution))

    def parts(self, task: Task) -> Iterator[Part]:
        """Walk through the network for `task`, from the stem to the head."""
        task = self.on(task)
        channels, *hw = task.shape
        site = Site(channels, self.stem.width, self.stem.total_stride, (hw[0], hw[1]), task.shape)
        yield Part("stem", self.stem, site)
        for i, stage in enumerate(self.stages):
            stride = stage.stride
            for j, block in enumerate(stage.blocks):
                site = Site(site.c_out, stage.width, stride, site.hw_out, task.shape)
                yield Part(f"stage{i}_block{j}", block, site)
                stride = 1
        if self.stages and self.stages[-1].blocks[-1].preactivated:
            site = Site(site.c_out, site.c_out, 1, site.hw_out, task.shape)
            yield Part("tail", Tail(), site)
        yield Part("head", self.head, Site(site.c_out, task.classes, 1, site.hw_out, task.shape))

    def cost(self, task: Task) -> Cost:
        """Return what the whole network costs for `task` at batch 1."""
        params = macs = memory_access = peak = 0  # a plain sum: adding `Cost`s takes twice as long
        for _, spec, site in self.parts(task):
            cost = _part_cost(spec, site)
            params += cost.params
            macs += cost.macs
            memory_access += cost.memory_access
            peak = max(peak, cost.peak_activations)
        return Cost(params, macs, memory_access, peak)

    @cached_property
    def digest(self) -> str:
        """Twelve hexadecimal digits that name this architecture everywhere."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    def to_json(self) -> str:
        """Return the canonical JSON: the schema and every field, sorted keys, no spaces."""
        plain = {"schema": SCHEMA} | to_plain(self)
        return json.dumps(plain, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Arch:
        """Read what `to_json` wrote; fields that are left out take their defaults.

        Raises:
            SpecError: no JSON, another schema, or no architecture; the message has the path.
        """
        try:
            plain = parse_json(text)
        except ValueError as error:
            raise SpecError(f"$: not JSON: {error}") from None
        if not isinstance(plain, dict) or plain.pop("schema", None) != SCHEMA:
            raise SpecError(f'$.schema: expected an object with "schema": {SCHEMA}')
        return from_plain(cls, plain)

    def __str__(self) -> str:
        stages = (
            f"stage(width={s.width},stride={s.stride}): {blocks_to_text(s.blocks)}"
            for s in self.stages
        )
        image = () if self.resolution is None else (f"image(resolution={self.resolution})",)
        ends = call_to_text("stem", self.stem), call_to_text("head", self.head)
        return " | ".join([*image, ends[0], *stages, ends[1]])

    @classmethod
    def from_text(cls, text: str) -> Arch:
        """Read the one-line form that `str(arch)` writes; see `search_spaces.text` for its grammar.

        Raises:
            SpecError: the text breaks the grammar or an architecture's rules.
        """
        return from_plain(cls, text_to_plain(text))


def check_resolution(side: int) -> None:
    """Refuse a side that images cannot be brought to.

    Raises:
        SpecError: it is out of range.
    """
    if side not in SIDES:
        raise SpecError(f"`resolution` (={side}) must be from {SIDES[0]} to {SIDES[-1]}")


@lru_cache(maxsize=1 << 17)
def _part_cost(spec: Spec, site: Site) -> Cost:
    try:
        return spec.cost(site)
    except NasError:
        raise
    except Exception as error:  # of a block of the user's own
        told = f"{type(error).__name__}: {error}"
        raise SpecError(f"{spec!r} has no cost at {site}: {told}") from error
