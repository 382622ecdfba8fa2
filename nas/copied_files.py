"""The files of a run that go into its copy: which, in which order, and whole."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from . import checksums
from .files import file_states
from .runs import LOCK_FILE, RUN_FILE

if TYPE_CHECKING:
    from pathlib import Path


def states(folder: Path) -> dict[str, tuple[int, int]]:
    """Return time and size of each file that belongs to the copy, by name."""
    return {name: state for name, state in file_states(folder).items() if belongs(name)}


def belongs(name: str) -> bool:
    """Whether a file is part of a run: no lock, no draft; checkpoints of finalists are hidden."""
    *folders, last = name.split("/")
    if any(folder[:1] in ("", ".") for folder in folders) or last == LOCK_FILE:
        return False
    hidden = last[:1] in ("", ".") and not last.endswith(".pt")
    return not hidden and not last.endswith(("-journal", ".part"))


def order(name: str) -> tuple[bool, bool, str]:
    """Put run.json, taken before all others, behind what it tells of, and the list last."""
    return name == checksums.FILE, name == RUN_FILE, name


def backup(path: Path, place: Path) -> Path:
    """Return a copy, in the folder `place`, of a SQLite database that others may write."""
    with (
        closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as one,
        closing(sqlite3.connect(place / path.name)) as other,
    ):
        one.backup(other)
    return place / path.name


def drop_torn_models(folder: Path) -> None:
    """Remove models of which the copy has not all files; of a sealed run, its list will tell."""
    if (folder / checksums.FILE).exists():
        return
    for model in (folder / "models").glob("[!.]*"):
        try:
            torn = any(checksums.differences(model, checksums.read(model)))
        except checksums.DamagedError:
            torn = True
        if torn:
            shutil.rmtree(model)
