"""The commands `nas latency warm` and `nas latency report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from search_spaces.plugins import read_plugin

from . import options  # noqa: TC001 - Typer reads the annotations

if TYPE_CHECKING:
    from evaluators.latency_model import LatencyModel

app = typer.Typer(
    help="Predict latencies from measured parts.", no_args_is_help=True, add_completion=False
)

SpaceName = Annotated[str, typer.Argument(metavar="SPACE", help="A preset or a space file.")]
Shape = Annotated[str, typer.Option("--input", metavar="CxHxW", help="Shape of the images.")]
Classes = Annotated[int, typer.Option(help="Number of classes.")]


@app.command()
def warm(
    space: SpaceName,
    target: options.Target = "cpu",
    image: Shape = "1x28x28",
    classes: Classes = 10,
    plugin: options.Plugin = None,
    networks: Annotated[int, typer.Option(min=40, help="Measured end to end.")] = 150,
    timeout: options.WarmTimeout = 600.0,
    seed: options.Seed = 0,
    as_json: options.Json = False,
) -> None:
    """Measure the parts of a space, so that searches can predict latencies."""
    from evaluators.latency_predictor import FEWEST
    from search_spaces.spaces import find_space

    from .latency import fill

    console = Console(stderr=as_json)
    model = _model(target, image, classes, plugin)
    done = fill(model, find_space(space), console, networks=networks, seconds=timeout, seed=seed)
    if as_json:
        typer.echo(json.dumps(done, indent=2))
        return
    counts = ", ".join(
        f"{done[k]['done']} of {done[k]['total']} {k}" for k in ("networks", "parts")
    )
    console.print(f"{done['space']} on {done['target']}: {counts} are in {done['cache']}")
    if done["usable"] < FEWEST:
        console.print(
            f"Predictions need {FEWEST} networks with all of their parts; there are "
            f"{done['usable']}. The same command goes on."
        )
    elif not done["complete"]:
        console.print("What is missing is measured when it is met; the same command goes on.")


@app.command()
def report(
    space: SpaceName,
    target: options.Target = "cpu",
    image: Shape = "1x28x28",
    classes: Classes = 10,
    plugin: options.Plugin = None,
    arch: Annotated[
        str | None, typer.Option(metavar="ARCH", help="Whose time is broken down.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page.")] = Path("latency.html"),
    as_json: options.Json = False,
) -> None:
    """Show how good predictions are, what MACs tell, and where a network's time goes."""
    import random

    from evaluators.device import device
    from evaluators.target import parse_target
    from search_spaces.spaces import find_space

    from .latency import breakdown, predictions, quality
    from .latency_page import write_page
    from .reading import read_arch

    model = _model(target, image, classes, plugin)
    table = predictions(model)
    shown = read_arch(arch) if arch else find_space(space).sample(random.Random(0))
    title = f"Latencies of {space} on {target}: {device()}, {parse_target(target).runtime}"
    write_page(out, table, shown, breakdown(model, shown), title)
    found = quality(table)
    if as_json:
        typer.echo(json.dumps({"page": str(out), **found}, indent=2))
        return
    console = Console()
    for name, value in found.items():
        console.print(f"{name:24} {value:.3g}")
    console.print(f"Page: {out}", soft_wrap=True)


def _model(target: str, image: str, classes: int, plugin: str | None) -> LatencyModel:
    from evaluators.latency import Latency
    from evaluators.latency_model import LatencyModel
    from search_spaces.arch import Task

    from .show import parse_shape

    if plugin:
        read_plugin(Path(plugin)).load()
    return LatencyModel(Latency(target), Task(classes, parse_shape(image)))
