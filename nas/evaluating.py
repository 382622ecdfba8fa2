"""`nas eval`: exported files, each in its own runtime, on images with labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from rich import box
from rich.table import Table

from evaluators.quiet import measuring, working
from evaluators.target import torch_threads
from search_spaces.errors import NasError, SpecError

from . import confusion
from .agreement import latency
from .files import write_text
from .labelled import images_for, other_splits, shape_text
from .pareto import wilson
from .subjects import subjects

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from rich.console import Console
    from torch import Tensor

    from evaluators.data import Images, Split

    from .agreement import Runner
    from .labelled import TestData
    from .subjects import Subject

Row = dict[str, Any]
_BATCH = 32
_TOP = 5


def evaluate_files(
    source: str,
    data: TestData,
    formats: str | None = None,
    out: Path | None = None,
    warn: Callable[[str], None] = print,
) -> list[Row]:
    """Test what `source` names and return a row for each file.

    Args:
        source: as in `subjects`.
        data: on what.
        formats: as in `subjects`.
        out: folder of the confusion matrices, a table and a picture for each format.
        warn: is told of files that run code when they are opened, and of images that are not
            split as those of the training were.

    Raises:
        NasError: no such file or data, a damaged one, a missing runtime, or images of another shape
            or of other classes than the file takes.
    """
    rows = []
    for subject in subjects(source, formats):
        subject.check()
        if subject.exporter.runs_code:
            warn(f"warning: opening {subject.path} runs code that stands in it, so trust it first")
        with working():  # decoding images is work, too
            images = images_for(subject, data)
        if note := other_splits(subject, images):
            warn(note)
        rows.append(_tested(subject, images, data, out))
    return rows


def _tested(subject: Subject, images: Images, data: TestData, out: Path | None) -> Row:
    exporter, splits = subject.exporter, data.splits(images)
    if extra := exporter.missing():
        raise SpecError(f"format {subject.format!r} needs: pip install 'nas-compact[{extra}]'")
    run = _opened(subject)
    with torch_threads(1):
        image = splits[0].taken(1).images.float() / 255
        _check(run, image, subject, images)
        with measuring():
            low, middle, high = latency(run, image.contiguous())
        hits, predicted = map(torch.cat, zip(*(_predictions(run, s) for s in splits), strict=True))
    labels = torch.cat([split.labels for split in splits])
    counts = confusion.confusion(labels, predicted, len(images.classes))
    if out is not None:
        _write(out, subject.format, counts, images.classes)
    row: Row = {"format": subject.format, "file": str(subject.path), "data": images.name}
    row |= {"split": data.split, "images": len(labels)}
    for top in (1, _TOP):
        if top < len(images.classes):
            share = int(hits[:, :top].sum()) / len(labels)
            ends = wilson(share, len(labels))
            row |= {f"top{top}": share, f"top{top}_low": ends[0], f"top{top}_high": ends[1]}
    return row | {"latency_ms": middle, "latency_low_ms": low, "latency_high_ms": high}


def _opened(subject: Subject) -> Runner:
    try:
        return subject.exporter().open(subject.path)
    except NasError as error:
        known = str(subject.path) in str(error)
        raise error if known else SpecError(f"{subject.path}: {error}") from error


def _check(run: Runner, image: Tensor, subject: Subject, images: Images) -> None:
    """Refuse a file that does not take the images, or whose scores are not for their classes."""
    takes = f"{subject.path} does not take images of {shape_text(images.shape)}"
    try:
        scores = run(image.contiguous())
    except (NasError, RuntimeError, ValueError) as error:  # each runtime raises its own
        reason = next(filter(None, map(str.strip, str(error).splitlines())), repr(error))
        raise SpecError(f"{takes}: {reason}") from error
    if scores.shape != (1, len(images.classes)):
        raise SpecError(
            f"{subject.path} gives scores of {shape_text(scores.shape)}, but {images.name} has "
            f"{len(images.classes)} classes: 1x{len(images.classes)}"
        )


def _predictions(run: Runner, split: Split) -> tuple[Tensor, Tensor]:
    """Return whether the true class was the first, second...: (N, 5), and the best class: (N,)."""
    hits, predicted = [], []
    indices = torch.arange(len(split)).split(_BATCH)  # type: ignore[no-untyped-call]
    for index, pixels in zip(indices, split.batches(indices), strict=True):
        with working():
            scores = run((pixels.float() / 255).contiguous())
        # Of equal scores the first, as argmax has it: those of 8 bits are often equal.
        best = scores.sort(dim=1, descending=True, stable=True).indices[:, :_TOP]
        hits.append(best == split.labels[index][:, None])
        predicted.append(best[:, 0])
    return torch.cat(hits), torch.cat(predicted)


def _write(out: Path, format_: str, counts: Tensor, classes: tuple[str, ...]) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_text(out / f"confusion-{format_}.csv", confusion.table(counts, classes))
        write_text(out / f"confusion-{format_}.svg", confusion.picture(counts, classes))
    except OSError as error:
        raise SpecError(
            f"{out} cannot be written: {error.strerror}; choose another --out"
        ) from None


def print_evaluated(rows: list[Row], console: Console) -> None:
    """Print what `evaluate_files` returns as a table."""
    first = rows[0]
    title = f"{first['data']}, {first['split']}: {first['images']:,} images"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("file", overflow="fold")
    tops = [top for top in (1, _TOP) if f"top{top}" in first]
    for heading in (*(f"top-{top} (95 %)" for top in tops), "ms (95 %)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        shares = [
            f"{row[f'top{t}']:.2%} ({100 * row[f'top{t}_low']:.1f}-{100 * row[f'top{t}_high']:.1f})"
            for t in tops
        ]
        middle, low, high = (row[f"latency{end}_ms"] for end in ("", "_low", "_high"))
        table.add_row(row["file"], *shares, f"{middle:.3g} ({low:.3g}-{high:.3g})")
    console.print(table)
