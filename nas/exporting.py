"""`nas export`: a finished model of a run, or an architecture, as files of the chosen formats."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table

from search_spaces.errors import SpecError
from search_spaces.network import build

from . import provenance
from .exporter import EXPORTERS, Exported, Model, read, save
from .folder import METRICS_FILE
from .reading import read_arch
from .show import task_of

if TYPE_CHECKING:
    from rich.console import Console

Row = dict[str, Any]
_SEED = 0  # of fresh weights


def export_model(
    source: str,
    formats: str,
    out: Path,
    *,
    image: str | None = None,
    classes: int | None = None,
) -> list[Row]:
    """Write what `source` names to the folder `out` and return a row for each file.

    Args:
        source: a model's folder, a run folder with `:digest` behind it if it has several models,
            or what `nas show` takes: that gets fresh weights.
        formats: names in `EXPORTERS`, with commas between them.
        out: made if missing.
        image: shape of the images, for an architecture.
        classes: number of classes, for an architecture.

    Raises:
        NasError: no such model, a damaged one, an unknown format, or a file that cannot be written.
    """
    names = [name.strip() for name in formats.split(",") if name.strip()]
    if not names:
        raise SpecError(f"`--format` names no format; known: {', '.join(EXPORTERS)}")
    directory = find_model(source)
    if directory is None:
        model = _fresh(source, image, classes)
        beside = {provenance.FILE: provenance.to_json(provenance.of_random(_SEED))}
    else:
        model = read(directory)
        known = (directory / name for name in (METRICS_FILE, provenance.FILE))
        beside = {path.name: path.read_bytes() for path in known if path.is_file()}
    return [_row(exported) for exported in save(model, out, names, beside=beside)]


def find_model(source: str) -> Path | None:
    """Return the folder of the model that `source` names; None if it is no folder of a model.

    Raises:
        SpecError: a run without this model, without any, or with several to choose from.
    """
    if "|" in source:  # one line of text, which may be longer than a file's name can be
        return None
    text, _, digest = source.rpartition(":")
    path, digest = (Path(text), digest) if text and Path(text).is_dir() else (Path(source), "")
    if (path / "task.json").is_file():
        return path
    if not (path / "run.json").is_file():
        return None
    found = sorted(entry.parent.name for entry in (path / "models").glob("*/task.json"))
    fitting = [name for name in found if name.startswith(digest)]
    if len(fitting) != 1:
        which = f"as {path}:DIGEST, one of: {', '.join(found)}" if found else "when it has one"
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
        table.add_row(
            row["file"],
            f"{row['size_bytes']:,}",
            f"{row['max_abs_error']:.2g}",
            f"{row['limit']:.2g}",
            f"{row['top1_agreement']:.0%} of {row['images']}",
            f"{middle:.3g} ({low:.3g} to {high:.3g})",
        )
    console.print(table)


def _row(exported: Exported) -> Row:
    about = {"format": exported.format, "file": str(exported.path)}
    return about | {"size_bytes": exported.size_bytes} | asdict(exported.agreement)


def _fresh(source: str, image: str | None, classes: int | None) -> Model:
    arch, task = read_arch(source), task_of(source, image, classes)
    names = tuple(map(str, range(task.classes)))
    middle = (0.5,) * task.shape[0]
    return Model(arch, task, build(arch, task, _SEED).eval(), names, middle, middle)
