"""What stands beside a model's files, and the card that tells of them all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from search_spaces.arch import Arch, Task
from search_spaces.errors import NasError

from . import card, checksums, provenance
from .drawing import drawing
from .exporter import EXPORTERS, ExportError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

METRICS_FILE = "metrics.json"
OURS = (METRICS_FILE, provenance.FILE, card.FILE, card.PICTURE)  # beside what formats write


def renew(
    directory: Path,
    new: Mapping[str, bytes] | None = None,
    stays: Iterable[Path] = (),
    figures: Mapping[str, Any] | None = None,
) -> None:
    """Write the card and the picture of a model's folder anew, and enter their checksums.

    Args:
        directory: with arch.json, task.json and the list of checksums.
        new: contents of further files that are written at once, by name.
        stays: files from elsewhere that will be beside them, unless they are there themselves.
        figures: of formats that round, by format; they join those in metrics.json.

    Raises:
        ExportError: what is known of the model cannot be read.
    """
    new, old = new or {}, {path.name: path for path in stays}
    paths = old | {name: directory / name for name in checksums.read(directory)}
    try:
        new = _metrics((old, paths), figures or {}) | dict(new)
        facts = _facts(paths, new)
        contents = {
            card.PICTURE: drawing(facts.arch, facts.task).encode(),
            card.FILE: card.card(facts).encode(),
        }
    except OSError as error:
        raise ExportError(f"cannot read {error.filename}: {error.strerror}") from error
    except (NasError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ExportError(f"{directory}: no model card can be written: {error!r}") from error
    checksums.replace(directory, contents | new)


def _metrics(folders: Iterable[Mapping[str, Path]], figures: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the metrics.json of the last of `folders` with the formats' figures of all."""
    known: dict[str, Any] = {}
    formats: dict[str, Any] = {}
    for paths in folders:
        if METRICS_FILE in paths:
            known = json.loads(paths[METRICS_FILE].read_bytes())
            formats |= known.get("formats", {})
    if formats := formats | dict(figures):
        return {METRICS_FILE: json.dumps(known | {"formats": formats}, indent=2).encode()}
    return {}


def _facts(paths: Mapping[str, Path], new: Mapping[str, bytes]) -> card.Facts:
    def plain(name: str) -> dict[str, Any]:
        if name not in paths and name not in new:
            return {}
        return dict(json.loads(new[name] if name in new else paths[name].read_bytes()))

    about = plain("task.json")
    left_out = {card.FILE, card.PICTURE, *new}
    sizes = {name: path.stat().st_size for name, path in paths.items() if name not in left_out}
    there = {name: EXPORTERS[name] for name in EXPORTERS if EXPORTERS[name].file in paths}
    return card.Facts(
        arch=Arch.from_json(paths["arch.json"].read_text("utf-8")),
        task=Task(len(about["classes"]), tuple(about["shape"])),
        classes=tuple(about["classes"]),
        files=sizes | {name: len(content) for name, content in new.items()},
        formats={name: (format_.files(), format_.usage) for name, format_ in there.items()},
        metrics=plain(METRICS_FILE),
        provenance=plain(provenance.FILE),
    )
