"""`nas export`: a finished model of a run, or an architecture, as files of the chosen formats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from evaluators.data import DataSpec, load
from search_spaces.arch import Arch, Task
from search_spaces.errors import SpecError
from search_spaces.network import build

from . import provenance, rounding
from .agreement import NOISY, noisy
from .card import CURVES
from .exporter import EXPORTERS, Exported, Model, read, save
from .exporters.safetensors import Safetensors
from .folder import METRICS_FILE
from .history import TABLE
from .mirror import fetched
from .model_files import read_beside
from .own_data import own_data, square
from .reading import read_arch
from .show import parse_shape, task_of

if TYPE_CHECKING:
    from rich.console import Console

    from evaluators.data import Images

Row = dict[str, Any]
_SEED = 0  # of fresh weights
_BESIDE = (METRICS_FILE, provenance.FILE, TABLE, CURVES)  # that go with a model


def export_model(
    source: str,
    formats: str,
    out: Path,
    *,
    image: str | None = None,
    classes: int | None = None,
    data: str | None = None,
    data_dir: str | None = None,
) -> list[Row]:
    """Write what `source` names to the folder `out` and return a row for each file.

    Args:
        source: a model's folder, a run folder or its URL, with `:digest` behind it if it has
            several models, or what `nas show` takes: that gets fresh weights.
        formats: names in `EXPORTERS`, with commas between them.
        out: made if missing.
        image: shape of the images, for an architecture.
        classes: number of classes, for an architecture; by default those of the data, if given.
        data: data set to calibrate and to test formats that round, which the model was trained
            on; by default what its folder or run names, if one of the formats needs it.
        data_dir: where a named data set's files are.

    Raises:
        NasError: no such model or data, a damaged one, an unknown format, or a file that cannot be
            written.
    """
    names = [name.strip() for name in formats.split(",") if name.strip()]
    if not names:
        raise SpecError(f"`--format` names no format; known: {', '.join(EXPORTERS)}")
    if out.exists() and not out.is_dir():
        raise SpecError(f"`--out` (={out}) is a file: name a folder, new or of the same model")
    rounds = any(EXPORTERS[name].origin for name in names)
    directory = find_model(source)
    if directory is None:
        _refuse_incomplete(Path(source))
        arch = read_arch(source)
        task = task_of(source, arch, image, classes)
        given = _given(data, data_dir, arch, image)
        if given:
            shape = task.shape if image else given.shape
            task = Task(classes or len(given.classes), shape)
        model = _fresh(arch, task, given)
        beside = {provenance.FILE: provenance.to_json(provenance.of_random(_SEED))}
    else:
        if image or classes:
            raise SpecError(f"{directory} has its own: leave out `--input` and `--classes`")
        model = read(directory)
        if rounds or data:
            model = replace(model, images=load(own_data(directory, data, data_dir)))
        beside = read_beside(directory, _BESIDE)
    return [_row(exported) for exported in save(model, out, names, beside=beside, timed=True)]


def _refuse_incomplete(folder: Path) -> None:
    """Refuse a model's folder without task.json, which would pass for an architecture's."""
    if "|" not in str(folder) and (folder / Safetensors.file).is_file():
        raise SpecError(f"{folder / 'task.json'}: is missing, so this is no whole model")


def find_model(source: str) -> Path | None:
    """Return the folder of the model that `source` names; None if it is no folder of a model.

    Raises:
        SpecError: a run without this model, without any, or with several to choose from.
    """
    if "|" in source:  # one line of text, which may be longer than a file's name can be
        return None
    text, _, digest = source.rpartition(":")
    if "://" in source:  # a run on an object store
        text, digest = (text, digest) if "://" in text else (source, "")
        text = str(fetched(text))
        source = f"{text}:{digest}" if digest else text
    path, digest = (Path(text), digest) if text and Path(text).is_dir() else (Path(source), "")
    if (path / "task.json").is_file():
        return path
    if not (path / "run.json").is_file():
        return None
    found = sorted(entry.parent.name for entry in (path / "models").glob("*/task.json"))
    fitting = [name for name in found if name.startswith(digest)]
    if len(fitting) != 1:
        if not found:
            raise SpecError(f"{source}: a run without models yet; go on with: nas resume {path}")
        which = f"as {path}:DIGEST, one of: {', '.join(found)}"
        raise SpecError(f"{source}: names {len(fitting)} models of the run; name one, {which}")
    return path / "models" / fitting[0]


def print_exported(rows: list[Row], console: Console) -> None:
    """Print what `export_model` returns as a table."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("file", overflow="fold")
    for heading in ("bytes", "max error", "limit", "same top-1", "ms (95 % interval)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        middle, low, high = (row[f"latency{end}_ms"] for end in ("", "_low", "_high"))
        mark = "!" if noisy(row) else ""
        table.add_row(
            row["file"],
            f"{row['size_bytes']:,}",
            f"{row['max_abs_error']:.2g}",
            "" if row["limit"] is None else f"{row['limit']:.2g}",
            f"{row['top1_agreement']:.0%} of {row['images']}",
            f"{middle:.3g} ({low:.3g} to {high:.3g}){mark}",
        )
    console.print(table)
    if any(map(noisy, rows)):
        console.print(f"! {NOISY}")
    for row in rows:
        if "origin" in row:
            console.print(f"{row['format']}: {rounding.told(row)}.")


def _row(exported: Exported) -> Row:
    about = {"format": exported.format, "file": str(exported.path)}
    return about | {"size_bytes": exported.size_bytes} | exported.figures()


def _given(data: str | None, data_dir: str | None, arch: Arch, image: str | None) -> Images | None:
    """Return the images for fresh weights, in the size that is asked for, if any is."""
    if data is None:
        return None
    side = square(parse_shape(image)) if image else None
    return load(DataSpec(data, data_dir, image_size=side).sized(arch.resolution))


def _fresh(arch: Arch, task: Task, images: Images | None) -> Model:
    middle = (0.5,) * task.shape[0]
    names, mean, std = tuple(map(str, range(task.classes))), middle, middle
    if images:
        names, mean, std = images.classes, images.mean, images.std
    return Model(arch, task, build(arch, task, _SEED).eval(), names, mean, std, images)
