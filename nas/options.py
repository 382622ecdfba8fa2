"""The flags that commands share; each is a field of `SearchConfig` of the same name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from . import units
from .storage import VARIABLE


def _quantity(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let Typer report what is wrong with a quantity, and where."""

    def checked(text: Any) -> Any:
        if not isinstance(text, str):  # a default
            return text
        try:
            return parse(text)
        except units.QuantityError as error:
            raise typer.BadParameter(str(error)) from None

    return checked


def _option(panel: str, text: str, metavar: str | None = None, **extra: Any) -> Any:
    return typer.Option(metavar=metavar, help=text, rich_help_panel=panel, **extra)


def _budget(text: str, example: str, parse: Callable[[str], Any]) -> Any:
    return _option("Budgets", text, example, parser=_quantity(parse))


def by_target(texts: list[str] | None, flag: str, parse: Callable[[str], Any]) -> Any:
    """Return what an option says for each target, or only for the first.

    Args:
        texts: "NAME=VALUE" each, or "VALUE" for the first target.
        flag: of the option.
        parse: reads a value.

    Raises:
        BadParameter: a value that cannot be read, or two for one target.
    """
    values: dict[str, Any] = {}
    for text in texts or ():
        name, _, value = text.rpartition("=")
        if name in values:
            raise typer.BadParameter(f"{text!r} is the second for a target", param_hint=flag)
        try:
            values[name] = parse(value)
        except units.QuantityError as error:
            raise typer.BadParameter(str(error), param_hint=flag) from None
    return values if any(values) else values.get("")


Data = Annotated[str, _option("Data", "Data set, folder of class folders, or .npz file.")]
DataDir = Annotated[str | None, _option("Data", "Where a named data set's files are.", "DIR")]
Download = Annotated[bool, _option("Data", "Fetch a named data set if it is missing.")]
ImageSize = Annotated[int | None, _option("Data", "Side to which images are brought.", "PIXELS")]
Stream = Annotated[
    bool,
    typer.Option(
        "--stream",
        help="Leave a folder's images on disk, where they do not fit into memory.",
        rich_help_panel="Data",
    ),
]
Space = Annotated[str | None, _option("Search", "Preset or space file; default: by image size.")]
Plugin = Annotated[
    str | None, _option("Search", "Python file that registers blocks of your own.", "FILE")
]
Target = Annotated[str, _option("Latency", "Device and runtime, as cpu:threads=2.")]
Targets = Annotated[
    list[str] | None,
    _option(
        "Latency",
        "Device and runtime, as cpu:threads=2; once for each of several, as NAME=TARGET.",
        show_default="cpu",
    ),
]
LatencyTolerance = Annotated[
    float,
    _option(
        "Latency",
        "Widest interval of a latency, as a share.",
        "3%",
        parser=_quantity(units.parse_share),
    ),
]
PredictLatency = Annotated[
    bool,
    typer.Option(
        "--predict-latency/--measure-latency",
        help="Predict candidates' latencies after `nas latency warm`.",
        rich_help_panel="Latency",
    ),
]
Sampler = Annotated[str, _option("Search", "Who proposes candidates.")]
WarmStart = Annotated[
    str | None, _option("Search", "Try one architecture of each family first.", "baselines")
]
Screen = Annotated[
    str | None,
    _option(
        "Search", "Never train the worst by a training-free score, as snip:0.5.", "PROXY[:SHARE]"
    ),
]
Scheduler = Annotated[
    str, _option("Search", "Who trains on: asha, hyperband, or none for everyone.")
]
Eta = Annotated[int, _option("Search", "One in how many goes on from rung to rung.")]
Fidelity = Annotated[
    str, _option("Search", "What grows from rung to rung: auto, epochs, data, resolution.")
]
BudgetParams = Annotated[int | None, _budget("Most parameters.", "3.6M", units.parse_count)]
BudgetMacs = Annotated[int | None, _budget("Most multiply-adds.", "300M", units.parse_count)]
BudgetLatency = Annotated[
    list[str] | None,
    _option("Budgets", "Longest latency; on one of several targets, NAME=5ms.", "5ms"),
]
BudgetSize = Annotated[int | None, _budget("Most bytes of weights.", "4MB", units.parse_bytes)]
Trials = Annotated[
    int | None, _option("Search", "Most candidates; without it, until the time is up.")
]
Timeout = Annotated[
    float | None,
    _option(
        "Run",
        "Time for the whole run; default 10m (a search with --trials: none).",
        "10m",
        parser=_quantity(units.parse_seconds),
    ),
]
Epochs = Annotated[
    int | None,
    _option("Search", "Most epochs of a candidate; default: to show it 40,000 images."),
]
Finalists = Annotated[int, _option("Search", "Architectures trained to the end and exported.")]
FinalEpochs = Annotated[
    int | None,
    _option("Search", "Most epochs of the final training; default: four times --epochs."),
]
BaselinesTimeout = Annotated[
    float | None,
    _option(
        "Run",
        "Time for training all six, in equal shares; default 10m.",
        "10m",
        parser=_quantity(units.parse_seconds),
    ),
]
BaselinesEpochs = Annotated[
    int | None,
    _option("Run", "Most epochs of each network; default: to show it 160,000 images."),
]
Repeats = Annotated[
    int | None,
    _option(
        "Search",
        "Most repeats of a finalist with other seeds, to settle the front; default: "
        "2 within the time limit, without one 0.",
    ),
]
Workers = Annotated[int | None, _option("Run", "Trainings side by side; default: one a core.")]
Storage = Annotated[
    str | None,
    _option(
        "Run",
        "Database of the study; default: a file in the run folder.",
        "URL",
        envvar=VARIABLE,
        show_envvar=True,
    ),
]
OnRay = Annotated[
    bool,
    typer.Option("--ray/--no-ray", help="Train on a Ray of this machine.", rich_help_panel="Ray"),
]
RayAddress = Annotated[
    str | None, _option("Ray", "Train on a Ray cluster: auto or HOST:PORT.", "ADDRESS")
]
CpusPerTrial = Annotated[float, _option("Ray", "Cores of a training.")]
GpusPerTrial = Annotated[float, _option("Ray", "GPUs of a training; fractions share one.")]
LatencyResource = Annotated[
    list[str] | None,
    _option("Ray", "Resource of nodes that measure; or TARGET=NAME; default: head.", "NAME"),
]
Concurrency = Annotated[
    int | None, _option("Ray", "Trainings side by side; default: as many as there is room for.")
]
Seed = Annotated[int, _option("Run", "What all randomness derives from.")]
Deterministic = Annotated[
    bool,
    typer.Option(
        "--deterministic",
        help="The same table for any number of workers; needs --trials.",
        rich_help_panel="Search",
    ),
]
Input = Annotated[
    str | None,
    typer.Option(
        "--input",
        metavar="CxHxW",
        help="Shape of the images; default: as published, or 3x224x224.",
    ),
]
Classes = Annotated[
    int | None, typer.Option(help="Number of classes; default: as published, or 1000.")
]
WarmTimeout = Annotated[
    float,
    typer.Option(
        metavar="10m", help="No measurement begins later.", parser=_quantity(units.parse_seconds)
    ),
]
CompareTimeout = Annotated[
    float,
    typer.Option(
        metavar="60s",
        help="Longest time for telling two networks apart.",
        parser=_quantity(units.parse_seconds),
    ),
]
Out = Annotated[
    str | None,
    _option("Output", "The run folder, or its URL; default: runs/TIME.", "DIR|URL"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
