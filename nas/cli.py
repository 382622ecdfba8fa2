"""The command line; nothing heavy is imported before a command needs it, for a quick `--help`."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search_spaces.errors import NasError
from search_spaces.plugins import read_plugin

from . import options
from .config import SearchConfig
from .console import console_for
from .latency_cli import app as latency_app
from .model_cli import app as model_app
from .train_cli import app as train_app
from .units import parse_ms

if TYPE_CHECKING:
    from .progress import Progress
    from .searching import Result

app = typer.Typer(
    help="Find small, fast, accurate image networks for the device you have.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(latency_app, name="latency")
app.add_typer(model_app)  # without a name: its commands stand beside ours
app.add_typer(train_app)
_DEFAULT = SearchConfig()
_TARGET = _DEFAULT.all_targets[0]


@app.command()
def search(
    data: options.Data = _DEFAULT.data,
    data_dir: options.DataDir = None,
    download: options.Download = False,
    image_size: options.ImageSize = None,
    space: options.Space = None,
    plugin: options.Plugin = None,
    target: options.Targets = None,
    latency_tolerance: options.LatencyTolerance = _DEFAULT.latency_tolerance,
    predict_latency: options.PredictLatency = _DEFAULT.predict_latency,
    sampler: options.Sampler = _DEFAULT.sampler,
    warm_start: options.WarmStart = None,
    screen: options.Screen = None,
    scheduler: options.Scheduler = _DEFAULT.scheduler,
    eta: options.Eta = _DEFAULT.eta,
    fidelity: options.Fidelity = _DEFAULT.fidelity,
    budget_params: options.BudgetParams = None,
    budget_macs: options.BudgetMacs = None,
    budget_latency: options.BudgetLatency = None,
    budget_size: options.BudgetSize = None,
    trials: options.Trials = None,
    timeout: options.Timeout = None,
    epochs: options.Epochs = None,
    finalists: options.Finalists = _DEFAULT.finalists,
    final_epochs: options.FinalEpochs = None,
    repeats: options.Repeats = None,
    storage: options.Storage = None,
    workers: options.Workers = None,
    ray: options.OnRay = False,
    ray_address: options.RayAddress = None,
    cpus_per_trial: options.CpusPerTrial = _DEFAULT.cpus_per_trial,
    gpus_per_trial: options.GpusPerTrial = _DEFAULT.gpus_per_trial,
    concurrency: options.Concurrency = None,
    latency_resource: options.LatencyResource = None,
    seed: options.Seed = _DEFAULT.seed,
    deterministic: options.Deterministic = False,
    out: options.Out = None,
    as_json: options.Json = False,
) -> None:
    """Search for networks, train the best, export them as model files."""
    given = dict(locals())
    del given["out"], given["as_json"]
    if timeout is None:
        given["timeout"] = None if deterministic or trials else _DEFAULT.timeout
    given["target"] = target or _DEFAULT.target
    given["budget_latency"] = options.by_target(budget_latency, "--budget-latency", parse_ms)
    given["latency_resource"] = options.by_target(latency_resource, "--latency-resource", str)
    config = SearchConfig(**given)

    from .searching import search as run

    _show_result(lambda progress: run(config, out, progress), as_json)


@app.command()
def baselines(
    data: options.Data = _DEFAULT.data,
    data_dir: options.DataDir = None,
    download: options.Download = False,
    image_size: options.ImageSize = None,
    target: options.Target = _TARGET,
    latency_tolerance: options.LatencyTolerance = _DEFAULT.latency_tolerance,
    budget_params: options.BudgetParams = None,
    budget_macs: options.BudgetMacs = None,
    budget_size: options.BudgetSize = None,
    timeout: options.BaselinesTimeout = None,
    final_epochs: options.BaselinesEpochs = None,
    workers: options.Workers = None,
    seed: options.Seed = _DEFAULT.seed,
    out: options.Out = None,
    as_json: options.Json = False,
) -> None:
    """Train and measure published networks of six families under a search's conditions."""
    given = dict(locals())
    del given["out"], given["as_json"]
    given["timeout"] = timeout or _DEFAULT.timeout
    config = SearchConfig(**given)

    from .baselines import baselines as run
    from .live import live_progress, print_baselines, table_to_plain

    console = console_for(stderr=as_json)
    with live_progress(console) as progress:
        done = run(config, out, progress)
    if as_json:
        print(json.dumps(table_to_plain(done.table), indent=2))
    else:
        print_baselines(done.table, console)
        console.print(f"Table: {done.directory / 'baselines.csv'}", soft_wrap=True)
    if done.status == "interrupted":
        sys.exit(130)
    if done.table["reason"].notna().all():
        sys.exit(1)


@app.command()
def resume(
    directory: Annotated[
        str, typer.Argument(metavar="DIR|URL", help="A run folder, here or on an object store.")
    ],
    ray: Annotated[
        bool | None,
        typer.Option("--ray/--no-ray", help="Go on with a Ray of this machine, or without Ray."),
    ] = None,
    ray_address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Go on on this Ray cluster.")
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Database of the study, if it moved or has a password."),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Go on with an interrupted or killed search."""
    from .searching import resume as run

    def go_on(progress: Progress) -> Result:
        return run(directory, progress, ray=ray, ray_address=ray_address, storage=storage)

    _show_result(go_on, as_json)


@app.command()
def show(
    arch: Annotated[
        str,
        typer.Argument(
            metavar="ARCH",
            help="A published network, arch.json, its folder, or one line of text.",
        ),
    ],
    image: options.Input = None,
    classes: options.Classes = None,
    plugin: options.Plugin = None,
    fvcore: Annotated[
        bool, typer.Option("--fvcore/--no-fvcore", help="Have fvcore count the MACs, too.")
    ] = True,
    per_layer: Annotated[
        bool, typer.Option("--per-layer", help="Each convolution, norm...; fvcore's count.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Print an architecture's parts with their shapes, parameters and MACs."""
    from .layer_tables import print_layers
    from .show import describe

    if plugin:
        read_plugin(Path(plugin)).load()
    description = describe(arch, image, classes, fvcore, per_layer)
    if as_json:
        print(json.dumps(description, indent=2))
    else:
        print_layers(description, console_for())


@app.command("space")
def space_(
    space: Annotated[str, typer.Argument(metavar="SPACE", help="A preset or a space file.")],
    image: Annotated[
        str, typer.Option("--input", metavar="CxHxW", help="Shape of the images.")
    ] = "1x28x28",
    classes: Annotated[int, typer.Option(help="Number of classes.")] = 10,
    plugin: options.Plugin = None,
    budget_params: options.BudgetParams = None,
    budget_macs: options.BudgetMacs = None,
    budget_size: options.BudgetSize = None,
    seed: options.Seed = _DEFAULT.seed,
    as_json: options.Json = False,
) -> None:
    """Print a space's size, the bounds of its costs, and samples within a budget."""
    from search_spaces.budget import Budget

    from .spaces import describe_space, print_space

    if plugin:
        read_plugin(Path(plugin)).load()
    budget = Budget(budget_params, budget_macs, budget_size)
    description = describe_space(space, image, classes, budget, seed)
    if as_json:
        print(json.dumps(description, indent=2))
    else:
        print_space(description, console_for())


@app.command()
def measure(
    network: Annotated[
        str,
        typer.Argument(metavar="ARCH|FILE.onnx", help="What `nas show` takes, or a model file."),
    ],
    target: options.Target = _TARGET,
    against: Annotated[
        str | None,
        typer.Option(metavar="ARCH|FILE.onnx", help="Tell which of the two is faster."),
    ] = None,
    image: options.Input = None,
    classes: options.Classes = None,
    plugin: options.Plugin = None,
    latency_tolerance: options.LatencyTolerance = _DEFAULT.latency_tolerance,
    timeout: options.CompareTimeout = 60.0,
    as_json: options.Json = False,
) -> None:
    """Measure a network's latency on a target."""
    from evaluators.latency import Latency

    from .measure import measure as run
    from .measure import print_measurement

    if plugin:
        read_plugin(Path(plugin)).load()
    latency = Latency(target, latency_tolerance)
    found = run(network, latency, image=image, classes=classes, against=against, seconds=timeout)
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        print_measurement(found, console_for())


@app.command("list")
def list_(
    what: Annotated[
        str,
        typer.Argument(
            metavar="blocks|spaces|networks|targets|samplers|proxies|formats|data|recipes|models",
            help="What to list.",
        ),
    ],
    hub: Annotated[str | None, typer.Argument(metavar="[HUB]", help="Whose models.")] = None,
    as_json: options.Json = False,
) -> None:
    """List what can be named: blocks, spaces, networks, targets, formats..., or a hub's models."""
    from .lists import LISTS, list_models, print_list

    if what not in (*LISTS, "models"):
        raise typer.BadParameter(f"{what!r} is none of: {', '.join((*LISTS, 'models'))}")
    if (hub is None) == (what == "models"):
        raise typer.BadParameter(
            "only `nas list models` takes a hub"
            if hub
            else "name the hub, too: nas list models HUB"
        )
    rows = LISTS[what]() if hub is None else list_models(hub)
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        print_list(rows, console_for())


def _print_version(wanted: bool) -> None:
    if wanted:
        print(version("nas-compact"))
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print it."),
    ] = False,
) -> None:
    """Find small, fast, accurate image networks for the device you have."""


def main(arguments: Iterable[str] | None = None) -> None:
    """Run a command; what a user did wrong is one line and exit code 2."""
    # Batch systems end a job so, and what is known by then should be reported as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = app(args=list(arguments) if arguments else None, standalone_mode=False)
    except NasError as error:
        _refuse(str(error))
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except Exception as error:
        if not hasattr(error, "format_message"):  # Typer's own: a mistyped option or value
            raise
        if not error.format_message():  # the help was printed instead of a missing command
            sys.exit(2)
        _refuse(error.format_message())
    sys.exit(code if isinstance(code, int) else 0)


def _refuse(message: str) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


def _show_result(run: Callable[[Progress], Result], as_json: bool) -> None:
    from .live import live_progress, print_result, result_to_plain

    console = console_for(stderr=as_json)
    with live_progress(console) as progress:
        result = run(progress)
    if as_json:
        print(json.dumps(result_to_plain(result), indent=2))
    else:
        print_result(result, console)
    if result.status == "interrupted":
        sys.exit(130)
    if result.recommended is None:
        sys.exit(1)
