"""The command line; nothing heavy is imported before a command needs it, for a quick `--help`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from search_spaces.errors import NasError

from . import units
from .config import SearchConfig

if TYPE_CHECKING:
    from .progress import Progress
    from .searching import Result

app = typer.Typer(
    help="Find small, fast, accurate image networks for the device you have.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_DEFAULT = SearchConfig()


def _quantity(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let Typer report what is wrong with a quantity, and where."""

    def checked(text: str) -> Any:
        try:
            return parse(text)
        except units.QuantityError as error:
            raise typer.BadParameter(str(error)) from None

    return checked


def _budget(parse: Callable[[str], Any], metavar: str, text: str) -> Any:
    return typer.Option(
        parser=_quantity(parse), metavar=metavar, help=text, rich_help_panel="Budgets"
    )


def _option(text: str, panel: str, metavar: str | None = None, **extra: Any) -> Any:
    return typer.Option(metavar=metavar, help=text, rich_help_panel=panel, **extra)


Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


@app.command()
def search(
    data: Annotated[
        str, _option("Data set, folder of class folders, or .npz file.", "Data")
    ] = _DEFAULT.data,
    data_dir: Annotated[str | None, _option("Where a named data set's files are.", "Data")] = None,
    download: Annotated[bool, _option("Fetch a named data set if it is missing.", "Data")] = False,
    image_size: Annotated[
        int | None, _option("Side to which images are brought.", "Data", "PIXELS")
    ] = None,
    space: Annotated[
        str | None, _option("Preset or space file; default: by image size.", "Search")
    ] = None,
    target: Annotated[
        str, _option("Device and runtime, as cpu:threads=2.", "Search")
    ] = _DEFAULT.target,
    sampler: Annotated[str, _option("Who proposes candidates.", "Search")] = _DEFAULT.sampler,
    budget_params: Annotated[
        int | None, _budget(units.parse_count, "3.6M", "Most parameters.")
    ] = None,
    budget_macs: Annotated[
        int | None, _budget(units.parse_count, "300M", "Most multiply-adds.")
    ] = None,
    budget_latency: Annotated[
        float | None, _budget(units.parse_ms, "5ms", "Longest latency.")
    ] = None,
    budget_size: Annotated[
        int | None, _budget(units.parse_bytes, "4MB", "Most bytes of weights.")
    ] = None,
    trials: Annotated[
        int | None, _option("Most candidates; without it, until the time is up.", "Search")
    ] = None,
    timeout: Annotated[
        float | None,
        _option(
            "Time for the whole run; default 10m, or none with --trials.",
            "Search",
            "10m",
            parser=_quantity(units.parse_seconds),
        ),
    ] = None,
    epochs: Annotated[int, _option("Most epochs of a candidate.", "Search")] = _DEFAULT.epochs,
    finalists: Annotated[
        int, _option("Architectures trained to the end and exported.", "Search")
    ] = _DEFAULT.finalists,
    final_epochs: Annotated[
        int, _option("Most epochs of a finalist.", "Search")
    ] = _DEFAULT.final_epochs,
    workers: Annotated[
        int | None, _option("Trainings side by side; default: one a core.", "Search")
    ] = None,
    seed: Annotated[int, _option("What all randomness derives from.", "Search")] = _DEFAULT.seed,
    out: Annotated[
        Path | None, _option("The run folder; default: runs/TIME.", "Output", "DIR")
    ] = None,
    as_json: Json = False,
) -> None:
    """Search for networks, train the best, export them as model files."""
    options = dict(locals())
    out, as_json = options.pop("out"), options.pop("as_json")
    if timeout is None:
        options["timeout"] = _DEFAULT.timeout if trials is None else None
    config = SearchConfig(**options)

    from .searching import search as run

    _show_result(lambda progress: run(config, out, progress), as_json)


@app.command()
def resume(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.")],
    as_json: Json = False,
) -> None:
    """Go on with an interrupted or killed search."""
    from .searching import resume as run

    _show_result(lambda progress: run(directory, progress), as_json)


@app.command()
def show(
    arch: Annotated[
        str,
        typer.Argument(
            metavar="ARCH",
            help="A published network, arch.json, its folder, or one line of text.",
        ),
    ],
    image: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="CxHxW",
            help="Shape of the images; default: as published, or 3x224x224.",
        ),
    ] = None,
    classes: Annotated[
        int | None, typer.Option(help="Number of classes; default: as published, or 1000.")
    ] = None,
    fvcore: Annotated[
        bool, typer.Option("--fvcore/--no-fvcore", help="Have fvcore count the MACs, too.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Print an architecture's layers with their shapes, parameters and MACs."""
    from .show import describe, print_layers

    description = describe(arch, image, classes, fvcore)
    if as_json:
        print(json.dumps(description, indent=2))
    else:
        print_layers(description, Console())


@app.command("list")
def list_(
    what: Annotated[
        str,
        typer.Argument(
            metavar="blocks|spaces|networks|targets|samplers|data", help="What to list."
        ),
    ],
    as_json: Json = False,
) -> None:
    """List what can be named: blocks, spaces, networks, targets, samplers or data."""
    from .lists import LISTS, print_list

    if what not in LISTS:
        raise typer.BadParameter(f"{what!r} is none of: {', '.join(LISTS)}")
    rows = LISTS[what]()
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        print_list(rows, Console())


def main(arguments: Iterable[str] | None = None) -> None:
    """Run a command; what a user did wrong is one line and exit code 2."""
    try:
        code = app(args=list(arguments) if arguments else None, standalone_mode=False)
    except NasError as error:
        _refuse(str(error))
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except Exception as error:
        if not hasattr(error, "format_message"):  # Typer's own: a mistyped option or value
            raise
        _refuse(error.format_message())
    sys.exit(code if isinstance(code, int) else 0)


def _refuse(message: str) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)


def _show_result(run: Callable[[Progress], Result], as_json: bool) -> None:
    from .live import live_progress, print_result, result_to_plain

    console = Console(stderr=as_json)
    with live_progress(console) as progress:
        result = run(progress)
    if as_json:
        print(json.dumps(result_to_plain(result), indent=2))
    else:
        print_result(result, console)
    if result.status == "interrupted":
        sys.exit(130)
