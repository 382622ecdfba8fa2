"""Curves as an SVG picture, a panel each for what has the same unit; needs no plotting library."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_COLORS = ("#0072B2", "#D55E00", "#009E73")  # Okabe and Ito (2008); dashes say the same again
_DASHES = ("", "6 3", "2 3")
_WIDTH, _HEIGHT = 360, 240  # pixels of a panel
_LEFT, _TOP, _RIGHT, _BOTTOM = 56, 34, 14, 40  # around its axes
_INK, _GRID = "#374151", "#d7dbe0"


@dataclass(frozen=True)
class Curve:
    """A line through points from left to right."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def curves(panels: Mapping[str, Sequence[Curve]], x_title: str) -> str:
    """Return the text of an .svg file with a panel for each title; curves need a point at least."""
    body = [
        f'<g transform="translate({i * _WIDTH} 0)">{_panel(title, lines, x_title)}</g>'
        for i, (title, lines) in enumerate(panels.items())
    ]
    width = _WIDTH * len(panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{_HEIGHT}" '
        f'viewBox="0 0 {width} {_HEIGHT}" font-family="sans-serif" font-size="12" role="img">\n'
        f"<title>{escape(', '.join(panels))} by {escape(x_title)}</title>\n"
        '<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers from `low` to `high`, 1, 2 or 5 times a power of ten apart."""
    span = high - low or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * m for m in (1, 2, 5, 10, 20) if span / (power * m) < most)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _panel(title: str, lines: Sequence[Curve], x_title: str) -> str:
    x_low, x_high = _ends([x for line in lines for x in line.x])
    y_low, y_high = _ends([y for line in lines for y in line.y])
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def across(x: float) -> float:
        return _LEFT + (right - _LEFT) * (x - x_low) / (x_high - x_low)

    def down(y: float) -> float:
        return _TOP + (bottom - _TOP) * (y_high - y) / (y_high - y_low)

    body = [text(_LEFT, 16, title, bold=True)]
    for y in ticks(y_low, y_high):
        body.append(f'<path d="M{_LEFT} {down(y):.1f}H{right}" stroke="{_GRID}"/>')
        body.append(text(_LEFT - 6, down(y) + 4, f"{y:.4g}", "end"))
    whole = [x for x in ticks(x_low, x_high) if x == round(x)]
    body += [text(across(x), bottom + 16, f"{x:g}", "middle") for x in whole]
    body.append(text((_LEFT + right) / 2, bottom + 32, x_title, "middle"))
    for i, line in enumerate(lines):
        points = [f"{across(x):.1f} {down(y):.1f}" for x, y in zip(line.x, line.y, strict=True)]
        pen = f'fill="none" stroke="{_COLORS[i]}" stroke-width="2" stroke-linecap="round"'
        dashes = f' stroke-dasharray="{_DASHES[i]}"' if len(points) > 1 and _DASHES[i] else ""
        body.append(f'<path {pen}{dashes} d="M{"L".join(points)}{"z" * (len(points) == 1)}"/>')
        key = _LEFT + 90 + i * 100
        body.append(f'<path {pen}{dashes} d="M{key} 12h20"/>')
        body.append(text(key + 25, 16, line.name))
    return "\n".join(body)


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """Return the smallest and the largest value, apart."""
    low, high = min(values), max(values)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def text(x: float, y: float, words: str, anchor: str = "start", *, bold: bool = False) -> str:
    """Return words in SVG whose start, middle or end is at `x`."""
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{_INK}"{weight}>'
        f"{escape(words)}</text>"
    )
