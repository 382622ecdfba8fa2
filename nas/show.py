"""An architecture's figures and layers as plain values, for `nas show`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from search_spaces.arch import Arch, Part, Task
from search_spaces.block import Block, kind_of
from search_spaces.errors import CandidateError, SpecError
from search_spaces.networks import IMAGENET, NETWORKS, Figure, Published
from search_spaces.text import call_to_text

from .reading import read_arch

Row = dict[str, Any]


def describe(
    arch: str,
    image: str | None = None,
    classes: int | None = None,
    fvcore: bool = False,
    per_layer: bool = False,
) -> Row:
    """Return an architecture's figures and layers as plain values.

    Args:
        arch: a published network's name, or what else `read_arch` takes.
        image: shape of the input as "3x224x224"; default: the publication's, the model's, or that.
        classes: number of classes; default: the publication's, the model's, or 1000.
        fvcore: whether to build the network and to have fvcore count its MACs, too.
        per_layer: whether to add fvcore's count of each convolution, linear layer, norm...

    Raises:
        SpecError: no such file, no architecture, or no shape; or `per_layer` without `fvcore`.
    """
    if per_layer and not fvcore:
        raise SpecError("layers are counted by fvcore: leave out --no-fvcore or --per-layer")
    found = read_arch(arch)
    task = task_of(arch, found, image, classes)
    cost = found.cost(task)
    layers = [_layer(part) for part in found.parts(task)]
    counted = _counted_by_fvcore(layers, found, task, per_layer) if fvcore else {}
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
        **counted,
    }


def task_of(source: str, arch: Arch, image: str | None, classes: int | None) -> Task:
    """Return what is asked for; where nothing is, the usual task of what `source` names.

    Args:
        source: where `arch` was read.
        arch: the architecture.
        image: shape of the input, if that is asked for.
        classes: likewise.

    Raises:
        SpecError: `image` is no shape or not at the architecture's resolution, or `classes` is too
            small.
    """
    usual = _usual_task(source)
    shape = parse_shape(image) if image else usual.shape
    asked = Task(usual.classes if classes is None else classes, shape)
    task = arch.on(asked)
    if image and task != asked:
        sides = "x".join(map(str, task.shape))
        raise SpecError(
            f"`--input` (={image}) must be at the architecture's resolution: {sides}, or left out"
        )
    return task


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


def _published(network: Published) -> Row:
    """Return what was published of `network`, its architecture left out."""
    row = {k: v._asdict() if isinstance(v, Figure) else v for k, v in vars(network).items()}
    return {k: v for k, v in row.items() if k not in ("arch", "task")}


def _counted_by_fvcore(parts: list[Row], arch: Arch, task: Task, per_layer: bool) -> Row:
    """Enter fvcore's count into the parts; return the layers as "per_layer", if wanted."""
    from evaluators.analytic import fvcore_layers, fvcore_macs
    from evaluators.memory import memory_suffices
    from search_spaces.network import build

    try:
        with memory_suffices():
            network = build(arch, task)
            macs = fvcore_macs(network, task)
            layers = fvcore_layers(network, task) if per_layer else []
    except CandidateError:
        raise SpecError(
            f"fvcore runs the network, and there is not enough memory for {task}; choose a smaller "
            f"--input, or --no-fvcore"
        ) from None
    for part in parts:
        part["macs_fvcore"] = macs[part["name"]]
    return {"per_layer": [layer._asdict() for layer in layers]} if per_layer else {}


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
