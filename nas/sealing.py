"""The list of a run's files, in force while nobody works in its folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import checksums
from .exporter import CORE
from .files import write_text
from .runs import LOCK_FILE, RunError, read_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NOT_LISTED = (LOCK_FILE, checksums.FILE)


def seal_run(directory: Path) -> None:
    """Write the SHA-256 of each file of a run folder, the last thing that a run does.

    Of a model it lists what never changes; its own list has the rest, and may grow.
    """
    names = {str(path.relative_to(directory).as_posix()) for path in _files(directory)}
    known = {name: checksums.sha256(directory / name) for name in names}
    write_text(directory / checksums.FILE, checksums.text(known))


def unseal_run(directory: Path) -> None:
    """Remove the list, before anything in the folder changes."""
    (directory / checksums.FILE).unlink(missing_ok=True)


def run_faults(directory: Path) -> list[str]:
    """Return a line for each file of a run that is missing, changed or came later.

    A run that was killed has no list; nothing is said of its files.

    Raises:
        RunError: run.json is damaged, and there is no list that would tell.
    """
    if not (directory / checksums.FILE).exists():
        if read_run(directory).get("status", "running") == "running":
            return []
        return [f"{directory / checksums.FILE}: is missing"]
    try:
        known = checksums.read(directory)
    except checksums.DamagedError as error:
        return [str(error)]
    there = {path.relative_to(directory).as_posix() for path in _files(directory)}
    return [
        *checksums.differences(directory, known),
        *(
            f"{directory / name}: is not in {checksums.FILE}"
            for name in sorted(there - known.keys())
        ),
    ]


def refuse_changed(directory: Path) -> None:
    """Refuse to go on with a sealed run whose files are not those that were written.

    A new list would make what was damaged pass for what was written. What came later may stay.

    Raises:
        RunError: a file is missing or changed, or the list is damaged.
    """
    path = directory / checksums.FILE
    if not path.exists():  # it was killed: nothing is known of its files
        return
    try:
        faults = list(checksums.differences(directory, checksums.read(directory)))
    except checksums.DamagedError as error:
        faults = [str(error)]
    if faults:
        more = f" (and {len(faults) - 1} more: see `nas verify`)" if faults[1:] else ""
        way_on = f"bring it back, or remove {path} to go on with the files as they are"
        raise RunError(f"{' '.join(faults[0].split())}{more}; {way_on}")


def _files(directory: Path) -> Iterator[Path]:
    for path in directory.iterdir():
        if path.is_file() and not path.name.startswith(".") and path.name not in _NOT_LISTED:
            yield path
    for model in (directory / "models").glob("[!.]*"):
        yield from (model / name for name in CORE if (model / name).is_file())
