"""An architecture as an SVG picture: a box a block, as high as it is wide in channels."""

from __future__ import annotations

from html import escape
from math import sqrt
from typing import TYPE_CHECKING

from search_spaces.block import Block, kind_of

if TYPE_CHECKING:
    from search_spaces.arch import Arch, Part, Task

# Okabe and Ito (2008), told apart by colour-blind readers too; then grey.
_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
_GREY = "#9aa1ab"
_BOX, _GAP, _APART, _MARGIN = 26, 3, 16, 14  # pixels: a box, between boxes, between stages, around
_HIGH, _LOW = 120, 16  # the widest and the narrowest possible block
_LINE = 15
_LETTER = 7  # width of a letter, about


def drawing(arch: Arch, task: Task) -> str:
    """Return the picture as the text of an .svg file, which shows nothing but this network."""
    groups = _groups(arch, task)
    kinds = list(dict.fromkeys(_kind(part) for group in groups.values() for part in group))
    blocks = [kind for kind in kinds if kind not in ("stem", "tail", "head")]
    colors = {kind: _COLORS[i] if i < len(_COLORS) else _GREY for i, kind in enumerate(blocks)}
    widest = max(part.site.c_out for group in groups.values() for part in group)
    x, body = float(_MARGIN), []
    for name, parts in groups.items():
        labels = [name, *_sizes(parts[-1])]
        boxes = len(parts) * (_BOX + _GAP) - _GAP
        room = max(boxes, _LETTER * max(map(len, labels)))
        left = x + (room - boxes) / 2
        for i, part in enumerate(parts):
            box = left + i * (_BOX + _GAP)
            body.append(_box(box, part, colors.get(_kind(part), _GREY), widest))
        for i, label in enumerate(labels):
            body.append(_text(x + room / 2, _MARGIN + _HIGH + _LINE * (i + 1), label, "middle"))
        x += room + _APART
    top = _MARGIN + _HIGH + 4 * _LINE + 8
    keys, right, bottom = _legend(colors, top, x)
    width, height = max(x, right) - _APART + _MARGIN, bottom + _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}" font-family="sans-serif" font-size="12" role="img">\n'
        f"<title>{escape(str(arch))}</title>\n"
        f'<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(body + keys) + "\n</svg>\n"
    )


def _groups(arch: Arch, task: Task) -> dict[str, list[Part]]:
    """Return the parts by stage, in order; stem, tail and head are groups of one."""
    groups: dict[str, list[Part]] = {}
    for part in arch.parts(task):
        groups.setdefault(part.name.split("_")[0], []).append(part)
    return groups


def _kind(part: Part) -> str:
    return kind_of(type(part.spec)) if isinstance(part.spec, Block) else part.name


def _sizes(part: Part) -> list[str]:
    if part.name == "head":
        return [f"{part.site.c_out} classes"]
    height, width = part.site.hw_out
    return [f"{part.site.c_out} wide", f"{height}x{width}"]


def _box(x: float, part: Part, color: str, widest: int) -> str:
    # By the root: networks widen a hundredfold, and the narrow stages are to be seen.
    high = _LOW + (_HIGH - _LOW) * sqrt(part.site.c_out / widest)
    return (
        f'<rect x="{x:g}" y="{_MARGIN + _HIGH - high:.1f}" width="{_BOX}" height="{high:.1f}" '
        f'rx="3" fill="{color}"><title>{escape(f"{part.name}: {part.spec}")}</title></rect>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="#374151">{escape(text)}</text>'


def _legend(colors: dict[str, str], top: float, limit: float) -> tuple[list[str], float, float]:
    """Return a key for each colour, in lines up to `limit`, and where they end."""
    keys, x, y, right = [], float(_MARGIN), top, 0.0
    for kind, color in colors.items():
        room = 18 + _LETTER * len(kind) + _APART
        if x > _MARGIN and x + room > limit:
            x, y = float(_MARGIN), y + _LINE + 3
        keys.append(
            f'<rect x="{x:g}" y="{y - 10:g}" width="12" height="12" rx="2" fill="{color}"/>'
        )
        keys.append(_text(x + 18, y, kind))
        x += room
        right = max(right, x)
    return keys, right, y
