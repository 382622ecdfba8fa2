"""Quiet while measuring: nothing of ours runs beside a timing, in whatever process it may be.

Training takes `working` around each batch, timing takes `measuring`; many work, or one measures.
Whoever wants to measure waits for the batches under way and keeps new ones waiting. A process that
dies lets go. Locks are per user and machine; without `fcntl` (Windows) there are none, and timings
are as noisy as what runs beside them.

Readers and writers pass a gate into a room, two files under flock(2), and hold the gate until they
are in: neither do many batches starve a measurement, nor many measurements a batch.
"""

from __future__ import annotations

import os
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from search_spaces.errors import NasError

from .ledger import spending

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@dataclass
class _Door:
    """One thread's way in: its own open files, since flock goes by the opening of a file."""

    gate: int
    room: int
    depth: int = 0
    exclusive: bool = False


_doors: dict[int, _Door] = {}  # by thread; a number is reused only after its thread has ended


def working() -> AbstractContextManager[None]:
    """Wait while somebody measures, then keep measurements waiting; microseconds when nobody does.

    Keep it short, a batch, and do not yield to others inside. It may be nested.
    """
    return _inside(exclusive=False)


def measuring() -> AbstractContextManager[None]:
    """Wait until nobody works or measures, and keep all others waiting."""
    return _inside(exclusive=True)


@contextmanager
def _inside(*, exclusive: bool) -> Iterator[None]:
    door = _door()
    if exclusive and door.depth and not door.exclusive:
        raise RuntimeError("measuring() inside working() would wait for itself")
    door.depth += 1
    try:
        if door.depth == 1:
            door.exclusive = exclusive
            with spending("waiting"):
                _enter(door)
        yield
    finally:
        door.depth -= 1
        if door.depth == 0:
            _unlock(door.room)


def _enter(door: _Door) -> None:
    try:
        _lock(door.gate, door.exclusive)
        _lock(door.room, door.exclusive)
    finally:
        _unlock(door.gate)


def _lock(fd: int, exclusive: bool) -> None:
    if fcntl:
        fcntl.flock(fd, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)


def _unlock(fd: int) -> None:
    if fcntl:
        fcntl.flock(fd, fcntl.LOCK_UN)


def _door() -> _Door:
    thread = threading.get_ident()
    if thread not in _doors:
        folder = lock_folder()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _doors[thread] = _Door(_open(folder / "gate.lock"), _open(folder / "room.lock"))
        except OSError as error:
            raise NasError(
                f"cannot lock in {folder} ({error.strerror}); "
                f"set XDG_RUNTIME_DIR to a folder that you can write"
            ) from error
    return _doors[thread]


def lock_folder() -> Path:
    """Return where the lock files are: in XDG_RUNTIME_DIR, or the temporary folder."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime) / "nas"
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"nas-{user}"


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _close_inherited() -> None:
    """Let go of a parent's openings: held by a child, they would outlive a killed parent."""
    for door in _doors.values():
        door.depth = 0  # a `with` that the fork happened in is over for the child
        os.close(door.gate)
        os.close(door.room)
    _doors.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)
