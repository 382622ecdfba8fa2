"""The commands on a model's files: `nas export`, `nas verify`, `nas push` and `nas pull`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from search_spaces.plugins import read_plugin

from . import options
from .console import console_for

app = typer.Typer()


@app.command()
def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="ARCH|RUN[:DIGEST]|DIR", help="A model's folder, a run, or what `show` takes."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder of the model's files.")],
    formats: Annotated[
        str, typer.Option("--format", metavar="F,...", help="See `nas list formats`.")
    ] = "safetensors,onnx",
    image: options.Input = None,
    classes: options.Classes = None,
    data: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="What it was trained on, for onnx-int8; see the docs."),
    ] = None,
    data_dir: options.DataDir = None,
    plugin: options.Plugin = None,
    as_json: options.Json = False,
) -> None:
    """Write a model as files of other formats, each compared with PyTorch and timed."""
    from .exporting import export_model, print_exported

    if plugin:
        read_plugin(Path(plugin)).load()
    rows = export_model(
        source, formats, out, image=image, classes=classes, data=data, data_dir=data_dir
    )
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        print_exported(rows, console_for())


@app.command()
def verify(
    directory: Annotated[
        str, typer.Argument(metavar="DIR|URL", help="The folder of a model or of a run.")
    ],
    plugin: options.Plugin = None,
) -> None:
    """Tell whether a model's files, or all those of a run, are the ones that were written."""
    from .mirror import fetched
    from .verify import verify as run

    if plugin:
        read_plugin(Path(plugin)).load()
    models, faults = run(fetched(directory))
    for fault in faults:
        print(" ".join(fault.split()))
    if faults:
        sys.exit(1)
    print(f"{len(models)} model{'' if len(models) == 1 else 's'} as written")


@app.command()
def push(
    source: Annotated[
        str, typer.Argument(metavar="DIR|RUN[:DIGEST]", help="A model's folder, or a run.")
    ],
    hub: Annotated[str, typer.Argument(metavar="HUB", help="A folder, or an fsspec URL.")],
    name: Annotated[
        str | None, typer.Option(help="In the hub; default: the architecture's digest.")
    ] = None,
) -> None:
    """Copy a model into a hub, as a version that is never overwritten."""
    from .hub import Hub

    pushed, new = Hub(hub).push(source, name)
    print(f"pushed {pushed}" if new else f"{pushed} is there already")


@app.command()
def pull(
    model: Annotated[
        str, typer.Argument(metavar="HUB/NAME[@VERSION]", help="Default: the newest version.")
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Default: NAME in this folder.")
    ] = None,
) -> None:
    """Copy a model from a hub, verified before it gets its name."""
    from .hub import split_model

    hub, wanted = split_model(model)
    print(hub.pull(wanted, out or Path(wanted.partition("@")[0])))
