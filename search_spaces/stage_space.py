"""The choices of one stage of a space."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import prod
from typing import TYPE_CHECKING

from .block import kind_of
from .errors import SpecError

if TYPE_CHECKING:
    from .block import Block, Menu


@dataclass(frozen=True)
class StageSpace:
    """The choices of one stage.

    Attributes:
        width: output widths, ascending.
        depth: numbers of blocks, ascending.
        stride: of the first block.
        blocks: the menus from which every block of the stage is chosen by itself; several may be
            of one kind, with no variant in common.

    Raises:
        SpecError: an illegal or missing choice, or a variant in two menus.
    """

    width: tuple[int, ...]
    depth: tuple[int, ...]
    stride: int
    blocks: tuple[Menu, ...]

    def __post_init__(self) -> None:
        check_ascending("width", self.width)
        check_ascending("depth", self.depth)
        if type(self.stride) is not int or self.stride not in (1, 2):
            raise SpecError(f"`stride` (={self.stride}) of a stage must be 1 or 2")
        if not self.labels:
            raise SpecError("`blocks` of a stage must hold at least one block")
        for one, other in combinations(self.blocks, 2):
            if not one.apart(other):
                raise SpecError(
                    f"`blocks` holds {one.kind} twice with variants in common, so that these would "
                    "count twice: let the two differ in all choices of some knob"
                )

    @cached_property
    def variants(self) -> int:
        """How many blocks may stand at each place."""
        return sum(prod(len(choices) for _, choices in menu.knobs) for menu in self.blocks)

    @property
    def size(self) -> int:
        """How many stages this may become."""
        return len(self.width) * sum(int(self.variants**depth) for depth in self.depth)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """What a gene calls each menu: its kind, the second one of a kind "mbconv#2"."""
        kinds = [menu.kind for menu in self.blocks]
        earlier = [kinds[:i].count(kind) for i, kind in enumerate(kinds)]
        return tuple(f"{k}#{n + 1}" if n else k for k, n in zip(kinds, earlier, strict=True))

    def label(self, block: Block) -> str:
        """Return the label of the menu that holds `block`, or its kind if none does."""
        menus = self._labelled.get(type(block), [])
        if len(menus) > 1:
            menus = [(label, menu) for label, menu in menus if menu.holds(block)]
        return menus[0][0] if menus else kind_of(type(block))

    @cached_property
    def _labelled(self) -> dict[type[Block], list[tuple[str, Menu]]]:
        """The menus of each class."""
        found: dict[type[Block], list[tuple[str, Menu]]] = {}
        for label, menu in zip(self.labels, self.blocks, strict=True):
            found.setdefault(menu.block, []).append((label, menu))
        return found


def check_ascending(name: str, values: tuple[int, ...], least: int = 1) -> None:
    """Refuse choices of a number that are not in order.

    Raises:
        SpecError: no tuple, nothing in it, a number below `least`, or one not above that before it.
    """
    if not isinstance(values, tuple):
        raise SpecError(f"`{name}` (={values!r}) must be a tuple of choices: (16,) or (16, 24)")
    if not values or list(values) != sorted(set(values)) or values[0] < least:
        raise SpecError(f"`{name}` (={values}) must ascend and start at {least} or more")
