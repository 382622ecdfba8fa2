"""Nested calls as source: on one line if they fit, else an argument a line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_WIDTH = 100


@dataclass
class Call:
    """Something in brackets: `opening`, arguments with what stands before each, `closing`."""

    opening: str
    closing: str = ")"
    arguments: list[tuple[str, Call | str]] = field(default_factory=list)

    @classmethod
    def of(cls, opening: str, texts: Iterable[str], closing: str = ")") -> Call:
        """Return a call whose arguments are plain source."""
        return cls(opening, closing, [("", text) for text in texts])

    def add(self, before: str, argument: Call | str) -> None:
        """Append an argument; `before` is its keyword with the equals sign, or empty."""
        self.arguments.append((before, argument))

    def __str__(self) -> str:
        inside = ", ".join(f"{before}{argument}" for before, argument in self.arguments)
        return self.opening + inside + self.closing


def layout(call: Call | str, column: int = 0, indent: int = 0) -> str:
    """Return the source of `call`, which begins at `column` of a line indented by `indent`."""
    flat = str(call)
    if isinstance(call, str) or column + len(flat) < _WIDTH:
        return flat
    inner = indent + 4
    lines = [call.opening]
    for before, argument in call.arguments:
        text = layout(argument, inner + len(before), inner)
        lines.append(f"{' ' * inner}{before}{text},")
    return "\n".join([*lines, " " * indent + call.closing])
