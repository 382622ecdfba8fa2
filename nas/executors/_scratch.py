"""Folders for as long as a process needs them; what a killed one leaves, the next one removes."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp

try:
    import fcntl
except ImportError:  # Windows, where what is left stays
    fcntl = None  # type: ignore[assignment]

_PREFIX = "nas-job-"


class Scratch:
    """A new temporary folder, locked by this process until `remove`.

    Attributes:
        path: of the folder.
    """

    def __init__(self) -> None:
        draft = Path(mkdtemp(prefix=f".{_PREFIX}"))  # named once it is locked: nobody sweeps it
        self._lock = _locked(draft)
        self.path = draft.rename(draft.with_name(draft.name[1:]))

    def remove(self) -> None:
        """Remove it and what is in it."""
        _remove(self.path, self._lock)


def sweep() -> None:
    """Remove the folders of processes that were killed; without locks nobody can tell."""
    for path in Path(gettempdir()).glob(f"{_PREFIX}*") if fcntl else ():
        with suppress(OSError):  # in use, another user's, or removed meanwhile
            _remove(path, _locked(path))


def _locked(path: Path) -> int | None:
    """Lock a folder as long as what is returned is open, or this process lives."""
    if fcntl is None:
        return None
    lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def _remove(path: Path, lock: int | None) -> None:
    shutil.rmtree(path, ignore_errors=True)
    if lock is not None:
        os.close(lock)
