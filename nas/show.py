"""Architectures and registries as tables."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from search_spaces.arch import Arch, Part, Task
from search_spaces.block import BLOCKS, Block, kind_of
from search_spaces.errors import SpecError
from search_spaces.spaces import SPACES
from search_spaces.text import call_to_text

from .units import format_count

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

Row = dict[str, Any]


def describe(arch: str, image: str, classes: int) -> Row:
    """Return an architecture's figures and layers as plain values.

    Args:
        arch: a folder with `arch.json`, such a file, or the one-line form.
        image: shape of the input as "3x224x224".
        classes: number of classes.

    Raises:
        SpecError: no such file, no architecture, or no shape.
    """
    found, task = read_arch(arch), Task(classes, parse_shape(image))
    cost = found.cost(task)
    return {
        "digest": found.digest,
        "arch": str(found),
        "input": list(task.shape),
        "classes": classes,
        "params": cost.params,
        "macs": cost.macs,
        "size_bytes": cost.size_bytes,
        "memory_access": cost.memory_access,
        "peak_activations": cost.peak_activations,
        "layers": [_layer(part) for part in found.parts(task)],
    }


def read_arch(text: str) -> Arch:
    """Return the architecture in a file, in a model's folder, or written as one line.

    Raises:
        SpecError: none of these.
    """
    path = Path(text)
    if "|" in text:
        return Arch.from_text(text)
    if path.is_dir():
        path = path / "arch.json"
    try:
        return Arch.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(
            f"{text!r} is neither an architecture in one line nor a readable file: {error}"
        ) from None


def parse_shape(text: str) -> tuple[int, int, int]:
    """Return channels, height and width: "1x28x28" -> (1, 28, 28).

    Raises:
        SpecError: not three whole numbers.
    """
    sides = text.lower().split("x")
    if len(sides) != 3 or not all(side.isdecimal() for side in sides):
        raise SpecError(f"{text!r} is no shape; write it like 3x224x224: channels, height, width")
    channels, height, width = map(int, sides)
    return channels, height, width


def print_layers(description: Row, console: Console) -> None:
    """Print what `describe` returns as a table."""
    table = Table(box=box.SIMPLE_HEAD, title=f"{description['digest']}", title_justify="left")
    for column in ("part", "block", "input", "output"):
        table.add_column(column)
    for column in ("params", "MACs"):
        table.add_column(column, justify="right")
    for layer in description["layers"]:
        shapes = ["x".join(map(str, layer[end])) for end in ("input", "output")]
        counts = [f"{layer[name]:,}" for name in ("params", "macs")]
        table.add_row(layer["name"], layer["block"], *shapes, *counts)
    table.add_section()
    total = [f"{description[name]:,}" for name in ("params", "macs")]
    table.add_row("total", "", "", "", *total, style="bold")
    console.print(table)
    console.print(
        f"{format_count(description['size_bytes'])}B as 32-bit floats, "
        f"{format_count(description['peak_activations'])} activations at the peak, "
        f"{format_count(description['memory_access'])} elements moved",
        style="dim",
    )


def _layer(part: Part) -> Row:
    spec, site, cost = part.spec, part.site, part.cost
    name = kind_of(type(spec)) if isinstance(spec, Block) else type(spec).__name__.lower()
    ends = [site.c_out] if name == "head" else [site.c_out, *site.hw_out]
    return {
        "name": part.name,
        "block": call_to_text(name, spec),
        "input": [site.c_in, *site.hw],
        "output": ends,
        "params": cost.params,
        "macs": cost.macs,
    }


def _blocks() -> list[Row]:
    return [
        {
            "name": name,
            "knobs": ", ".join(f"{k}={'|'.join(map(str, c))}" for k, c in block.knobs().items()),
            "source": _source(block),
            "file": str(Path(inspect.getfile(block)).name),
        }
        for name, block in BLOCKS.items()
    ]


def _source(entry: type) -> str:
    """Return what the entry's module says about its source."""
    text = " ".join((inspect.getdoc(inspect.getmodule(entry)) or "").split())
    return text.partition("Source: ")[2].partition(" Departures:")[0]


def _spaces() -> list[Row]:
    return [
        {
            "name": name,
            "architectures": f"{space.size():.2e}",
            "genes": len(space.genes()),
            "stages": len(space.stages),
        }
        for name, space in SPACES.items()
    ]


def _targets() -> list[Row]:
    from evaluators.target import TARGETS

    return [
        {
            "name": name,
            "what": (inspect.getdoc(target) or "").split("\n")[0],
            "default": str(target()),
        }
        for name, target in TARGETS.items()
    ]


def _samplers() -> list[Row]:
    from .samplers import SAMPLERS

    return [{"name": name, "what": spec.summary} for name, spec in SAMPLERS.items()]


def _data() -> list[Row]:
    from evaluators.data import known_data

    return [
        {
            "name": data.name,
            "classes": len(data.classes),
            "shape": "x".join(map(str, data.shape)),
            "train, val, test": ", ".join(f"{size:,}" for size in data.sizes),
            "licence": data.licence,
            "source": data.source,
        }
        for data in known_data()
    ]


LISTS: dict[str, Callable[[], list[Row]]] = {
    "blocks": _blocks,
    "spaces": _spaces,
    "targets": _targets,
    "samplers": _samplers,
    "data": _data,
}


def print_list(rows: list[Row], console: Console) -> None:
    """Print rows with the same keys as a table."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in rows[0]:
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console.print(table)
