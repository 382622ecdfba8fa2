"""A space at a glance: its size, the bounds of its costs, what is within a budget, some samples."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from search_spaces.arch import Task
from search_spaces.budget import NO_LIMIT, Budget
from search_spaces.spaces import find_space
from search_spaces.subspace import bounds

from .show import parse_shape
from .units import format_count

if TYPE_CHECKING:
    from rich.console import Console

    from search_spaces.arch import Arch

Row = dict[str, Any]
SAMPLES = 5


def describe_space(name: str, image: str, classes: int, budget: Budget, seed: int) -> Row:
    """Return what `nas space` prints, as plain values.

    Args:
        name: a preset or a space file.
        image: shape of the input as "1x28x28".
        classes: number of classes.
        budget: what samples must be within.
        seed: of the samples.

    Raises:
        NasError: no such space, a shape that is none, or a budget that no architecture meets.
    """
    space, task = find_space(name), Task(classes, parse_shape(image))
    inside, rng = space.within(budget, task), random.Random(seed)
    limited = {} if budget == NO_LIMIT else {"within_budget": inside.size()}
    return {
        "space": space.name,
        "input": list(task.shape),
        "classes": classes,
        "resolution": list(space.resolution),
        "architectures": space.size(),
        "genes": len(space.genes()),
        **{cost: bounds(space, task, cost)._asdict() for cost in ("params", "macs")},
        "budget": {name: limit for name, limit in vars(budget).items() if limit is not None},
        **limited,
        "samples": [_sample(inside.sample(rng, uniform="gene"), task) for _ in range(SAMPLES)],
    }


def print_space(description: Row, console: Console) -> None:
    """Print what `describe_space` returns."""
    given = "x".join(map(str, description["input"])), f"{description['classes']} classes"
    console.print(f"{description['space']} for {', '.join(given)}", style="bold")
    facts = Table(box=None, show_header=False)
    facts.add_row("architectures", _many(description["architectures"]))
    facts.add_row("genes", str(description["genes"]))
    if description["resolution"]:
        facts.add_row("resolution", ", ".join(map(str, description["resolution"])))
    for cost, title in (("params", "params"), ("macs", "MACs")):
        least, most = description[cost].values()
        facts.add_row(title, f"{format_count(least)} to {format_count(most)}")
    if "within_budget" in description:
        share = description["within_budget"] / description["architectures"]
        limits = ", ".join(f"{k} {format_count(v)}" for k, v in description["budget"].items())
        facts.add_row(f"within {limits}", f"{_many(description['within_budget'])} ({share:.2g})")
    console.print(facts)
    samples = Table(box=box.SIMPLE_HEAD, title=f"{SAMPLES} samples", title_justify="left")
    samples.add_column("params", justify="right", no_wrap=True)
    samples.add_column("MACs", justify="right", no_wrap=True)
    samples.add_column("architecture", overflow="fold")
    for sample in description["samples"]:
        counts = format_count(sample["params"]), format_count(sample["macs"])
        samples.add_row(*counts, sample["arch"])
    console.print(samples)


def _sample(arch: Arch, task: Task) -> Row:
    cost = arch.cost(task)
    return {"digest": arch.digest, "arch": str(arch), "params": cost.params, "macs": cost.macs}


def _many(count: int) -> str:
    return f"{count:,}" if count < 10**9 else f"{count:.2e}"
