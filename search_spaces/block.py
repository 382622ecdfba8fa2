"""The contract of a block: frozen knobs, a cost formula, and the module they describe."""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from .cost import Cost, Size, shrink
from .errors import SpecError
from .registry import Registry

if TYPE_CHECKING:
    from torch import nn

Value = bool | int | float | str  # what a knob holds
T = TypeVar("T", bool, int, str)


@dataclass(frozen=True, slots=True)
class Site:
    """Where a block stands: what comes in and what must come out.

    Attributes:
        c_in: channels of the input map.
        c_out: channels of the output map.
        stride: 1 or 2.
        hw: height and width of the input map; a single number is taken as a square.
        image: (C, H, W) of the network's input image, for blocks that read it.
    """

    c_in: int
    c_out: int
    stride: int = 1
    hw: Size = (32, 32)
    image: tuple[int, int, int] = (3, 224, 224)

    def __post_init__(self) -> None:
        if isinstance(self.hw, int):
            object.__setattr__(self, "hw", (self.hw, self.hw))

    @property
    def hw_out(self) -> Size:
        """Height and width of the output map."""
        return shrink(self.hw, self.stride)

    @property
    def elements_in(self) -> int:
        """Elements of the input map."""
        return self.c_in * self.hw[0] * self.hw[1]

    @property
    def keeps_shape(self) -> bool:
        """Whether the input can be added to the output."""
        return self.stride == 1 and self.c_in == self.c_out


def knob(default: T, choices: tuple[T, ...]) -> T:
    """Declare a field of a block that a search may set.

    Args:
        default: the value when nothing is said.
        choices: what a search tries; other legal values may still be given by hand. Integer choices
            are ordered and must ascend.
    """
    return field(default=default, metadata={"choices": choices})


class Block:
    """Base of all blocks: subclasses are frozen dataclasses that enter themselves in `BLOCKS`.

    A block must accept every site whose channels are multiples of `multiple_of`, at stride 1 and 2
    and with `c_in` equal to, below or above `c_out`: any mix of blocks is then an architecture.

    Attributes:
        preactivated: the block begins with its norm and activation and ends without, so the network
            must add them after it if it is the last.
        wants_image: the module's `forward` takes the network's input image as second argument.
    """

    preactivated: ClassVar[bool] = False
    wants_image: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for spec in fields(self):  # type: ignore[arg-type]  # subclasses are dataclasses
            check_value(spec, getattr(self, spec.name))
        if getattr(self, "kernel", 1) % 2 == 0:
            raise SpecError(f"`kernel` (={self.kernel}) must be odd")  # type: ignore[attr-defined]

    @property
    def multiple_of(self) -> int:
        """What both channel counts must be a multiple of."""
        return 1

    def cost(self, site: Site) -> Cost:
        """Return what the block costs at `site`."""
        raise NotImplementedError

    def build(self, site: Site) -> nn.Module:
        """Return the module: (B, c_in, *hw) -> (B, c_out, *hw_out)."""
        raise NotImplementedError

    @classmethod
    def knobs(cls) -> dict[str, tuple[Value, ...]]:
        """Return the searched knobs and their choices, in the order of the fields."""
        return {f.name: f.metadata["choices"] for f in _fields(cls) if "choices" in f.metadata}

    @classmethod
    def over(cls, **choices: tuple[Value, ...]) -> Menu:
        """Return the menu of this block: `choices` for some knobs, the default ones for the rest.

        Raises:
            SpecError: a knob that the block lacks, no choice, or an illegal one.
        """
        return Menu(cls, tuple({**cls.knobs(), **choices}.items()))


BLOCKS: Registry[type[Block]] = Registry("block", "search_spaces.blocks")


@dataclass(frozen=True)
class Menu:
    """The variants of one block that a stage may use.

    Attributes:
        block: the class.
        knobs: pairs of a field's name and the values it may take.
    """

    block: type[Block]
    knobs: tuple[tuple[str, tuple[Value, ...]], ...]

    def __post_init__(self) -> None:
        specs = {f.name: f for f in _fields(self.block)}
        for name, choices in self.knobs:
            if name not in specs:
                known = ", ".join(specs)
                raise SpecError(f"{self.kind} has no knob {name!r}; it has: {known}")
            for value in choices:
                check_value(specs[name], value)
            if not choices or len(set(choices)) < len(choices):
                raise SpecError(f"{self.kind}.{name} needs distinct choices, but got {choices}")

    @property
    def kind(self) -> str:
        """The block's registered name."""
        return kind_of(self.block)

    @cached_property
    def _choices(self) -> dict[str, tuple[Value, ...]]:
        """The values of every field, those that are not searched included."""
        fixed: dict[str, Any] = {f.name: (f.default,) for f in _fields(self.block)}
        return fixed | dict(self.knobs)

    def holds(self, block: Block) -> bool:
        """Return whether `block`, one of this class, is a variant."""
        return all(getattr(block, name) in values for name, values in self._choices.items())

    def apart(self, other: Menu) -> bool:
        """Return whether no block is a variant of both."""
        if self.block is not other.block:
            return True
        return any(set(v).isdisjoint(other._choices[name]) for name, v in self._choices.items())


def kind_of(block: type[Block]) -> str:
    """Return the name under which `block` is registered.

    Raises:
        SpecError: it is not registered.
    """
    return _kind_of(block)  # type: ignore[arg-type]  # mypy takes classes for unhashable


@cache
def _kind_of(block: type[Block]) -> str:
    for name, known in BLOCKS.items():
        if known is block:
            return name
    raise SpecError(f"{block.__name__} is not registered; put @BLOCKS.register(name) above it")


def check_value(spec: Field[Any], value: Value) -> None:
    """Check a field's value against the type of the field's default.

    Raises:
        SpecError: another type, or a number that is not positive.
    """
    expected = type(spec.default)
    if type(value) is not expected:
        raise SpecError(f"`{spec.name}` (={value!r}) must be of type {expected.__name__}")
    if expected is int and value < 1:
        raise SpecError(f"`{spec.name}` (={value}) must be at least 1")


def _fields(block: type[Block]) -> tuple[Field[Any], ...]:
    return fields(block)  # type: ignore[arg-type]  # subclasses are dataclasses
