"""`nas verify`: whether the files of a model, or of all models of a run, are those written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search_spaces.errors import NasError

from . import checksums
from .exporter import CORE, EXPORTERS, ExportError, read
from .folder import OURS
from .runs import TRAINING, RunError
from .sealing import run_faults

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_MARKS = ("task.json", "arch.json", "weights.safetensors", checksums.FILE)


def verify(directory: Path) -> tuple[list[Path], list[str]]:
    """Return the models' folders in `directory`, or itself, and a line for each fault.

    Raises:
        RunError: it is neither a model's folder nor a run folder.
    """
    if (directory / "run.json").is_file() or (directory / "models").is_dir():
        visible = (path for path in (directory / "models").glob("*") if path.is_dir())
        models = sorted(path for path in visible if not path.name.startswith("."))
    elif any((directory / mark).is_file() for mark in _MARKS):
        models = [directory]
    else:
        begun = (directory / TRAINING).is_dir()
        why = ", but of a training that has not ended" if begun else ""
        raise RunError(f"{directory} is neither the folder of a model nor of a run{why}")
    found = run_faults(directory) if models != [directory] else []
    told = set(found)  # the run's list and a model's own list may both tell of a file
    found += [fault for model in models for fault in faults(model) if fault not in told]
    return models, found


def faults(directory: Path) -> list[str]:
    """Return a line for each file of a model that is missing, changed, or of another model."""
    try:
        known = checksums.read(directory)
    except checksums.DamagedError as error:
        return [str(error)]
    found = list(checksums.differences(directory, known))
    written = {
        *CORE,
        *OURS,
        *(file for name in EXPORTERS for file in EXPORTERS[name].files()),
    }
    found += [
        f"{directory / name}: is not in {checksums.FILE}"
        for name in sorted(written - known.keys())
        if name in CORE or (directory / name).exists()
    ]
    if not found:
        try:
            digest = read(directory).arch.digest
        except ExportError as error:
            found.append(str(error))
        else:
            found += _foreign(directory, known, digest)
    return found


def _foreign(directory: Path, names: Iterable[str], digest: str) -> Iterator[str]:
    """Yield a line for each file that says itself that it is of another architecture."""
    for format_ in EXPORTERS:
        exporter = EXPORTERS[format_]()
        if exporter.file not in names:
            continue
        path = directory / exporter.file
        try:
            told = exporter.digest(path)
        except NasError as error:
            yield str(error)
            continue
        if told not in (None, digest):
            yield f"{path}: is of architecture {told}, not {digest}"
