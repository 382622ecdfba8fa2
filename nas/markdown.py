"""Facts as Markdown: tables, figures that may be missing, and texts of strangers made plain."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def table(heading: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table; its cells are Markdown already."""
    head = list(heading)
    lines = [head, ["---"] * len(head), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def when_known(found: Mapping[str, Any], key: str, text: str) -> str:
    """Return `text` with the value of `key` in it, or nothing if there is none."""
    return text.format(found[key]) if key in found else ""


def interval(found: Mapping[str, Any], name: str, text: str, unit: str = "") -> str:
    """Return `text` with both ends of the interval of `name` in it, or nothing."""
    ends = [f"{name}_{end}{unit}" for end in ("low", "high")]
    return text.format(*(found[end] for end in ends)) if all(e in found for e in ends) else ""


def plain(text: object) -> str:
    """Return a foreign text as one line that Markdown shows as it is."""
    return re.sub(r"([\\`*_{}\[\]<>|#&~$!])", r"\\\1", " ".join(str(text).split()))
