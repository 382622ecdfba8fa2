"""Architectures and registries as tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from search_spaces.arch import Arch, Part, Task
from search_spaces.block import Block, kind_of
from search_spaces.errors import CandidateError, SpecError
from search_spaces.networks import IMAGENET, NETWORKS, Figure, Published
from search_spaces.text import call_to_text

from .reading import read_arch
from .units import format_count

if TYPE_CHECKING:
    from rich.console import Console

Row = dict[str, Any]


def describe(
    arch: str, image: str | None = None, classes: int | None = None, fvcore: bool = False
) -> Row:
    """Return an architecture's figures and layers as plain values.

    Args:
        arch: a published network's name, or what else `read_arch` takes.
        image: shape of the input as "3x224x224"; default: the publication's, the model's, or that.
        classes: number of classes; default: the publication's, the model's, or 1000.
        fvcore: whether to build the network and to have fvcore count its MACs, too.

    Raises:
        SpecError: no such file, no architecture, or no shape.
    """
    found, task = read_arch(arch), task_of(arch, image, classes)
    cost = found.cost(task)
    layers = [_layer(part) for part in found.parts(task)]
    if fvcore:
        _count_again(layers, found, task)
    about = {"published": _published(NETWORKS[arch])} if arch in NETWORKS else {}
    return about | {
        "digest": found.digest,
        "arch": str(found),
        "input": list(task.shape),
        "classes": task.classes,
        "params": cost.params,
        "macs": cost.macs,
        "size_bytes": cost.size_bytes,
        "memory_access": cost.memory_access,
        "peak_activations": cost.peak_activations,
        "layers": layers,
    }


def task_of(arch: str, image: str | None, classes: int | None) -> Task:
    """Return what is asked for; where nothing is, the usual task of the network named `arch`.

    Raises:
        SpecError: `image` is no shape, or `classes` is too small.
    """
    usual = _usual_task(arch)
    shape = parse_shape(image) if image else usual.shape
    return Task(usual.classes if classes is None else classes, shape)


def _usual_task(arch: str) -> Task:
    """Return the task of a published network or of an exported model's folder, else ImageNet's."""
    if arch in NETWORKS:
        return NETWORKS[arch].task
    path = Path(arch) / "task.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        return Task(len(about["classes"]), tuple(about["shape"]))
    except (OSError, ValueError, KeyError, TypeError):
        return IMAGENET


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
    given = "x".join(map(str, description["input"])), f"{description['classes']} classes"
    title = ", ".join((description["digest"], *given))
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("part", no_wrap=True)
    table.add_column("block", overflow="fold")
    table.add_column("output", no_wrap=True)
    headings = {"params": "params", "macs": "MACs", "macs_fvcore": "by fvcore"}
    counted = [name for name in headings if name in description["layers"][0]]
    for name in counted:
        table.add_column(headings[name], justify="right", no_wrap=True)
    for layer in description["layers"]:
        shape = "x".join(map(str, layer["output"]))
        counts = [f"{layer[name]:,}" for name in counted]
        block = layer["block"].replace("(", " (").replace(",", ", ")  # where lines may break
        table.add_row(layer["name"], block, shape, *counts)
    table.add_section()
    total = [f"{sum(layer[name] for layer in description['layers']):,}" for name in counted]
    table.add_row("total", "", "", *total, style="bold")
    console.print(table)
    console.print(
        f"{format_count(description['size_bytes'])}B as 32-bit floats, "
        f"{format_count(description['peak_activations'])} activations at the peak, "
        f"{format_count(description['memory_access'])} elements moved",
        style="dim",
    )
    if "published" in description:
        _print_published(description["published"], console)


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


def _published(network: Published) -> Row:
    """Return what was published of `network`, its architecture left out."""
    row = {k: v._asdict() if isinstance(v, Figure) else v for k, v in vars(network).items()}
    return {k: v for k, v in row.items() if k not in ("arch", "task")}


def _count_again(layers: list[Row], arch: Arch, task: Task) -> None:
    from evaluators.analytic import fvcore_macs
    from evaluators.memory import memory_suffices
    from search_spaces.network import build

    try:
        with memory_suffices():
            counted = fvcore_macs(build(arch, task), task)
    except CandidateError:
        raise SpecError(
            f"fvcore runs the network, and there is not enough memory for {task}; choose a smaller "
            f"--input, or --no-fvcore"
        ) from None
    for layer in layers:
        layer["macs_fvcore"] = counted[layer["name"]]


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
