"""The commands that train one network and that test a file: `nas train` and `nas eval`."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from evaluators.data import DataSpec
from evaluators.recipe import Recipe
from search_spaces.plugins import read_plugin

from . import options
from .console import console_for

app = typer.Typer()


def _field(text: str, metavar: str | None = None) -> Any:
    return typer.Option(metavar=metavar, help=text, rich_help_panel="Recipe")


def _data(text: str) -> Any:
    return typer.Option(help=text, rich_help_panel="Data")


@app.command()
def train(
    source: Annotated[
        str,
        typer.Argument(
            metavar="ARCH|RUN[:DIGEST]|DIR",
            help="What `show` takes, a run, or a model's folder, whose weights are not used.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="The model's folder, new or empty.")],
    data: options.Data = "bundled",
    data_dir: options.DataDir = None,
    download: options.Download = False,
    image_size: options.ImageSize = None,
    stream: options.Stream = False,
    recipe: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="See `nas list recipes`, or a YAML file.")
    ] = "default",
    epochs: Annotated[int | None, _field("Passes over the training images.")] = None,
    batch: Annotated[int | None, _field("Images of a step, of all processes together.")] = None,
    lr: Annotated[float | None, _field("Highest learning rate, for a batch of 128.")] = None,
    weight_decay: Annotated[float | None, _field("Of convolutions and linear layers.")] = None,
    warmup: Annotated[float | None, _field("Share of the steps before the cosine.")] = None,
    label_smoothing: Annotated[float | None, _field("Share of the target of all classes.")] = None,
    ema_decay: Annotated[float | None, _field("Of the average of the weights.")] = None,
    crop: Annotated[int | None, _field("Pixels by which images are moved.")] = None,
    resized_crop: Annotated[
        float | None, _field("Smallest share of an image that is cropped and resized.")
    ] = None,
    flip: Annotated[bool | None, _field("Mirror half of the images.")] = None,
    erase: Annotated[float | None, _field("Side of a square that is cut out.")] = None,
    randaugment: Annotated[int | None, _field("Random operations an image.", "COUNT")] = None,
    magnitude: Annotated[int | None, _field("Their strength, 0 to 30.")] = None,
    mixup: Annotated[float | None, _field("Mix images by Beta(mixup, mixup).")] = None,
    cutmix: Annotated[float | None, _field("Paste boxes by Beta(cutmix, cutmix).")] = None,
    teacher: Annotated[
        Path | None, _field("The folder of a model that is followed, too.", "DIR")
    ] = None,
    distill: Annotated[
        float | None, _field("Its share of the loss; 0.5 unless the recipe says so.")
    ] = None,
    temperature: Annotated[float | None, _field("By which both scores are divided.")] = None,
    amp: Annotated[bool | None, _field("Compute in bfloat16.")] = None,
    seed: Annotated[int | None, _field("What all randomness derives from.")] = None,
    formats: Annotated[
        str, typer.Option("--format", metavar="F,...", help="See `nas list formats`.")
    ] = "safetensors,onnx",
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Logs; default: OUT/tensorboard where tensorboard is installed."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after a kill.")] = False,
    plugin: options.Plugin = None,
    as_json: options.Json = False,
) -> None:
    """Train one architecture to the end, and leave it as a model's folder."""
    given = dict(locals())
    from evaluators.ranks import joined

    from .exporter import EXPORTERS
    from .exporting import find_model
    from .full_training import Trainee, full_training
    from .live import live_progress
    from .progress import SILENT
    from .reading import read_arch
    from .recipe_files import find_recipe
    from .tensorboard_logs import has_tensorboard, need_tensorboard
    from .training_folder import LOGS

    facts = _load_plugin(plugin)
    changes = {f.name: given[f.name] for f in fields(Recipe) if given.get(f.name) is not None}
    found = find_recipe(recipe, changes)
    if teacher and not found.distill:
        found = replace(found, distill=0.5)
    if tensorboard:
        need_tensorboard()
    elif has_tensorboard():
        tensorboard = out / LOGS
    arch = read_arch(str(find_model(source) or source))
    trainee = Trainee(
        arch, DataSpec(data, data_dir, download, image_size, found.seed, stream), found, teacher
    )
    console = console_for(stderr=as_json)
    names = [name.strip() for name in formats.split(",")]
    for name in names:
        EXPORTERS[name]
    try:
        with joined() as ranks:
            shown = live_progress(console) if ranks.first else nullcontext(SILENT)
            with shown as progress:
                metrics = full_training(
                    trainee,
                    out,
                    progress,
                    formats=names,
                    logs=tensorboard,
                    resume=resume,
                    facts=facts,
                    ranks=ranks,
                )
    except KeyboardInterrupt:
        console.print("Stopped; --resume goes on after the last whole epoch.")
        raise
    if not ranks.first:
        return
    if as_json:
        print(json.dumps({"directory": str(out), **metrics}, indent=2))
        return
    epochs = metrics["epochs"]
    low, high = metrics["test_accuracy_low"], metrics["test_accuracy_high"]
    console.print(
        f"Test accuracy {metrics['test_accuracy']:.2%} ({low:.2%} to {high:.2%}, "
        f"{metrics['test_images']:,} images) after {epochs} epoch{'' if epochs == 1 else 's'}."
    )
    console.print(f"Model: {out}", soft_wrap=True)


def _load_plugin(path: str | None) -> dict[str, Any]:
    """Load a plug-in, and return what provenance.json says of it."""
    if path is None:
        return {}
    plugin = read_plugin(Path(path))
    plugin.load()
    return {"plugin": {"name": plugin.path.name, "sha256": plugin.digest}}


@app.command("eval")
def eval_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|DIR|RUN[:DIGEST]", help="An exported file, a model's folder, or a run."
        ),
    ],
    data: Annotated[
        str | None,
        _data("Data set, folder, or .npz file; default: what the model's folder tells."),
    ] = None,
    data_dir: options.DataDir = None,
    image_size: options.ImageSize = None,
    split: Annotated[str, _data("Which images: train, val, test or all.")] = "test",
    seed: Annotated[int | None, _data("Of the splits; default: that of the training.")] = None,
    formats: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="F,...", help="Default: all that run no code when opened."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where confusion matrices are written.")
    ] = None,
    plugin: options.Plugin = None,
    as_json: options.Json = False,
) -> None:
    """Test exported files in their own runtimes: accuracy, confusion, latency."""
    from .evaluating import evaluate_files, print_evaluated
    from .labelled import TestData

    _load_plugin(plugin)
    console = console_for(stderr=True)

    def warn(text: str) -> None:
        console.print(text, style="yellow", soft_wrap=True, markup=False)

    images = TestData(data, data_dir, image_size, split, seed)
    rows = evaluate_files(source, images, formats, out, warn)
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        print_evaluated(rows, console_for())
