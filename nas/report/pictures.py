"""An architecture as a strip of coloured boxes, one a block, as high as the block is wide.

Drawn from the one-line text alone, so blocks of a plug-in that is not here have a picture too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from search_spaces.errors import SpecError
from search_spaces.text import text_to_plain

# Okabe and Ito (2008), each with the ink that reads on it; then greys, for more than seven kinds.
_PALETTE = (
    ("#0072B2", "#fff"), ("#E69F00", "#111"), ("#009E73", "#111"), ("#CC79A7", "#111"),
    ("#56B4E9", "#111"), ("#D55E00", "#111"), ("#F0E442", "#111"), ("#6b7280", "#fff"),
)  # fmt: skip
Colors = Mapping[str, tuple[str, str]]


def kinds(arch: str) -> list[str]:
    """Return the kind of each block in order; none if the text cannot be read."""
    return [str(block["kind"]) for stage in _stages(arch) for block in stage["blocks"]]


def colors_of(archs: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return a colour and its ink for each kind of block that occurs in `archs`."""
    found = sorted({kind for arch in archs for kind in kinds(arch)})
    return {kind: _PALETTE[i % len(_PALETTE)] for i, kind in enumerate(found)}


def picture(arch: str, colors: Colors) -> str:
    """Return `arch` as HTML; nothing if the text cannot be read."""
    stages = _stages(arch)
    if not stages:
        return ""
    plain = text_to_plain(arch)
    stem, head = _width(plain["stem"]), _width(plain["head"])
    highest = max(stem, head, 1.0, *(_width(stage) for stage in stages))
    boxes = [_end("stem", stem, highest)]
    boxes += [_stage(stage, colors, highest) for stage in stages]
    boxes += [_end("head", head, highest)]
    return f'<div class="arch" role="img" aria-label="{escape(arch)}">{"".join(boxes)}</div>'


def legend(colors: Colors) -> str:
    """Return which colour and letter stands for which kind."""
    keys = (
        f"<li>{_box(kind, colors[kind], 'height:1.35rem', kind)} {escape(kind)}</li>"
        for kind in colors
    )
    return f'<ul class="legend">{"".join(keys)}</ul>'


def _stages(arch: str) -> list[dict[str, Any]]:
    try:
        stages: list[dict[str, Any]] = text_to_plain(arch)["stages"]
    except (SpecError, ValueError):
        return []
    return stages


def _stage(stage: dict[str, Any], colors: Colors, highest: float) -> str:
    width = _width(stage)
    height = f"height:{_percent(width, highest)}%"
    boxes = "".join(
        _box(
            str(block["kind"]), colors.get(str(block["kind"]), _PALETTE[-1]), height, _words(block)
        )
        for block in stage["blocks"]
    )
    halves = '<abbr title="stride 2: halves the map">↓2</abbr> ' if stage.get("stride") == 2 else ""
    size = len(stage["blocks"])
    return (
        f'<div class="stage" style="flex:{size}"><div class="boxes">{boxes}</div>'
        f"<small>{halves}{width:.0f}</small></div>"
    )


def _end(name: str, width: float, highest: float) -> str:
    box = f'<span class="box end" style="height:{_percent(width, highest)}%" title="{name}"></span>'
    label = f"{width:.0f}" if width else ""
    return (
        f'<div class="stage" style="flex:1"><div class="boxes">{box}</div>'
        f"<small>{name} {label}</small></div>"
    )


def _box(kind: str, color: tuple[str, str], style: str, title: str) -> str:
    fill = f"{style};background:{color[0]};color:{color[1]}"
    letter = escape(kind[:1].upper())
    return f'<span class="box" style="{fill}" title="{escape(title)}">{letter}</span>'


def _width(part: dict[str, Any]) -> float:
    width = part.get("width")
    return float(width) if isinstance(width, int | float) else 0.0


def _percent(width: float, highest: float) -> int:
    return round(22 + 78 * width / highest)  # the narrowest still holds its letter


def _words(block: dict[str, Any]) -> str:
    knobs = ", ".join(f"{name} {value}" for name, value in block.items() if name != "kind")
    return f"{block['kind']}: {knobs}" if knobs else str(block["kind"])
