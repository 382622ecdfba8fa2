"""What `nas show` prints: an architecture's parts, or its layers, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from .units import format_count

if TYPE_CHECKING:
    from rich.console import Console

    from .show import Row

_COUNTS = {"params": "params", "macs": "MACs", "macs_fvcore": "by fvcore"}


def print_layers(description: Row, console: Console) -> None:
    """Print what `describe` returns: a table of the layers if it has them, else of the parts."""
    console.print(_layers(description) if "per_layer" in description else _parts(description))
    console.print(
        f"{format_count(description['size_bytes'])}B as 32-bit floats, "
        f"{format_count(description['peak_activations'])} activations at the peak, "
        f"{format_count(description['memory_access'])} elements moved",
        style="dim",
    )
    if "per_layer" not in description:
        console.print("each convolution, norm...: --per-layer", style="dim")
    if "published" in description:
        _print_published(description["published"], console)


def _parts(description: Row) -> Table:
    rows = [
        # A block's text has spaces where lines may break.
        (part["name"], part["block"].replace("(", " (").replace(",", ", "), part)
        for part in description["layers"]
    ]
    return _table(description, ("part", "block"), rows)


def _layers(description: Row) -> Table:
    rows = [
        (layer["name"], f"{layer['operator']} {_shape(layer['weight'])}", layer)
        for layer in description["per_layer"]
    ]
    return _table(description, ("layer", "operator, weights"), rows)


def _table(description: Row, headings: tuple[str, str], rows: list[tuple[str, str, Row]]) -> Table:
    """Return a table of rows (name, text, figures) with their totals."""
    given = _shape(description["input"]), f"{description['classes']} classes"
    title = ", ".join((description["digest"], *given))
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column(headings[0], no_wrap=True)
    table.add_column(headings[1], overflow="fold")
    table.add_column("output", no_wrap=True)
    counted = [name for name in _COUNTS if name in rows[0][-1]]
    for name in counted:
        table.add_column(_COUNTS[name], justify="right", no_wrap=True)
    for name, text, figures in rows:
        counts = [f"{figures[count]:,}" for count in counted]
        table.add_row(name, text, _shape(figures["output"]), *counts)
    table.add_section()
    totals = [f"{sum(figures[count] for *_, figures in rows):,}" for count in counted]
    table.add_row("total", "", "", *totals, style="bold")
    return table


def _shape(sides: list[int]) -> str:
    return "x".join(map(str, sides))


def _print_published(published: Row, console: Console) -> None:
    units = {"params": "parameters", "macs": "MACs", "top1": "% top-1", "top5": "% top-5"}
    known = []
    for name, unit in units.items():
        if figure := published[name]:
            form = str if unit.startswith("%") else format_count
            known.append(f"{form(figure['value'])} {unit} ({figure['by']})")
    console.print(f"Published by {published['source']}: {', '.join(known) or 'no figures known'}.")
    if published["departures"]:
        console.print(published["departures"])
