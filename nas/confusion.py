"""Which class is taken for which: counted, as a table, and as a picture."""

from __future__ import annotations

import csv
import io
from html import escape
from typing import TYPE_CHECKING

import torch

from .curves import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_NAMED = 40  # classes, up to which the picture has their names
_SIDE, _LARGEST, _SMALLEST = 560, 32, 1  # pixels: of the matrix, about; of a cell
_LETTER, _MARGIN = 7, 14
_COLOR = "#0072B2"  # Okabe and Ito (2008)


def confusion(labels: Tensor, predicted: Tensor, classes: int) -> Tensor:
    """Return counts, (classes, classes): rows are what an image shows, columns what was said."""
    return torch.bincount(labels * classes + predicted, minlength=classes**2).view(classes, -1)


def table(counts: Tensor, names: Sequence[str]) -> str:
    """Return the matrix as CSV, a row for each class that images show."""
    found = io.StringIO()
    writer = csv.writer(found, lineterminator="\n")
    writer.writerow(["shown \\ said", *names])
    writer.writerows([name, *row] for name, row in zip(names, counts.tolist(), strict=True))
    return found.getvalue()


def picture(counts: Tensor, names: Sequence[str]) -> str:
    """Return the matrix as the text of an .svg file: the darker, the larger the share of a row."""
    classes = len(names)
    cell = min(_LARGEST, max(_SMALLEST, _SIDE // classes))
    named = classes <= _NAMED
    left = _MARGIN + (_LETTER * max(map(len, names)) if named else 0) + 22
    shares = counts / counts.sum(1, keepdim=True).clamp(min=1)
    body = []
    for row, column in counts.nonzero().tolist():
        share, count = float(shares[row, column]), int(counts[row, column])
        words = f"{names[row]} taken for {names[column]}: {count} ({share:.0%})"
        x, y = left + column * cell, left + row * cell
        body.append(
            f'<rect x="{x}" y="{y}" width="{cell}" height="{cell}" fill="{_COLOR}" '
            f'fill-opacity="{0.06 + 0.94 * share:.2f}"><title>{escape(words)}</title></rect>'
        )
    side = classes * cell
    body.append(
        f'<rect x="{left}" y="{left}" width="{side}" height="{side}" fill="none" stroke="#9aa1ab"/>'
    )
    for i, name in enumerate(names if named else ()):
        middle = left + (i + 0.5) * cell
        body.append(text(left - 6, middle + 4, name, "end"))
        upright = text(0, 4, name)
        body.append(f'<g transform="translate({middle} {left - 6}) rotate(-90)">{upright}</g>')
    body.append(text(left, _MARGIN, "said", bold=True))
    shown = text(0, 0, "shown", "end", bold=True)
    body.append(f'<g transform="translate({_MARGIN} {left}) rotate(-90)">{shown}</g>')
    whole = left + side + _MARGIN
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="{whole}" '
        f'viewBox="0 0 {whole} {whole}" font-family="sans-serif" font-size="12" role="img">\n'
        '<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(body) + "\n</svg>\n"
    )
