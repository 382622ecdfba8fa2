"""Measured latencies on disk: each is taken once for a device, a target and its runtime.

Whoever measures looks here again within `quiet.measuring()`, which one process of a machine is in
at a time, and writes before leaving it: nothing is measured twice, and a process that is killed
leaves what it had written. A file that is no such cache is set aside, once, and begun anew.
"""

from __future__ import annotations

import logging
import math
import os
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from search_spaces.errors import NasError
from search_spaces.user_cache import user_cache

from .device import device

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .target import Target

log = logging.getLogger(__name__)

APPLICATION = 0x6E617331  # what SQLite keeps in the header: "nas1"; another layout gets another
SCHEMA = """
CREATE TABLE IF NOT EXISTS latency (
    device TEXT NOT NULL, target TEXT NOT NULL, runtime TEXT NOT NULL, what TEXT NOT NULL,
    ms REAL NOT NULL CHECK (ms > 0 AND ms < 1e9),
    low_ms REAL NOT NULL CHECK (low_ms > 0 AND low_ms <= ms),
    high_ms REAL NOT NULL CHECK (high_ms >= ms AND high_ms < 1e9),
    PRIMARY KEY (device, target, runtime, what)
) WITHOUT ROWID
"""
WAIT_S = 60.0  # for another process's write, which takes milliseconds

EDITION = 3  # raised where networks get other graphs, or are timed otherwise: old times are void

_checked: set[Path] = set()  # files that were found whole in this process


class Timing(NamedTuple):
    """A latency and its interval, in milliseconds."""

    ms: float
    low_ms: float
    high_ms: float


@dataclass(frozen=True)
class LatencyCache:
    """The latencies of one target on this device.

    Args:
        target: whose options and runtime's version are part of the key.
        path: of the file; it is made when it is needed.
    """

    target: Target
    path: Path

    def get(self, what: str) -> Timing | None:
        """Return what was measured of `what`, if anything was."""
        found = self._run("SELECT ms, low_ms, high_ms FROM latency WHERE (%s) AND what = ?", what)
        return Timing(*found[0]) if found else None

    def all(self) -> dict[str, Timing]:
        """Return everything that is known."""
        rows = self._run("SELECT what, ms, low_ms, high_ms FROM latency WHERE (%s)")
        return {what: Timing(*timing) for what, *timing in rows}

    def put(self, what: str, timing: Timing) -> None:
        """Keep `timing`, once and for all: what is already there stays.

        Raises:
            ValueError: it is no positive number within its interval.
        """
        if not (0 < timing.low_ms <= timing.ms <= timing.high_ms < math.inf):
            raise ValueError(f"{what}: {timing} is no latency")
        values = (*self._owner, what, *timing)
        self._run("INSERT OR IGNORE INTO latency VALUES (?, ?, ?, ?, ?, ?, ?)", values=values)

    @property
    def _owner(self) -> tuple[str, str, str]:
        return device(), str(self.target), f"{self.target.runtime}, edition {EDITION}"

    def _run(
        self, query: str, *more: str, values: tuple[object, ...] = ()
    ) -> list[tuple[Any, ...]]:
        query = query.replace("(%s)", "device = ? AND target = ? AND runtime = ?")
        arguments = values or (*self._owner, *more)
        try:
            return self._try(query, arguments)
        except sqlite3.OperationalError as error:  # a full disk, say: the file may be sound
            raise NasError(f"the latency cache {self.path} cannot be used: {error}") from None
        except sqlite3.DatabaseError:
            return self._anew(query, arguments)

    def _try(self, query: str, arguments: tuple[object, ...]) -> list[tuple[Any, ...]]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NasError(f"the latency cache {self.path} cannot be made: {error}") from None
        with closing(sqlite3.connect(self.path, timeout=WAIT_S)) as file, file:
            # A killed process loses nothing by it; only a power cut might, and the file is checked.
            file.execute("PRAGMA synchronous = OFF")
            (kind,) = file.execute("PRAGMA application_id").fetchone()
            if kind != APPLICATION:
                tables = file.execute("SELECT count(*) FROM sqlite_master").fetchone()
                if kind or tables != (0,):
                    raise sqlite3.DatabaseError("another program's database")
                file.execute(f"PRAGMA application_id = {APPLICATION}")
                file.execute(SCHEMA)
            if self.path not in _checked:
                (state,) = file.execute("PRAGMA quick_check(1)").fetchone()
                if state != "ok":
                    raise sqlite3.DatabaseError(state.splitlines()[-1])
                _checked.add(self.path)
            return file.execute(query, arguments).fetchall()

    def _anew(self, query: str, arguments: tuple[object, ...]) -> list[tuple[Any, ...]]:
        """Set the file aside, unless another process has done so in the meantime."""
        with _alone(self.path):
            try:
                return self._try(query, arguments)
            except sqlite3.DatabaseError as error:
                aside = self.path.with_name(f"{self.path.name}.unreadable")
                log.warning(
                    "%s is no latency cache (%s): begun anew, the old one is %s",
                    self.path,
                    error,
                    aside.name,
                )
            os.replace(self.path, aside)
            for rest in ("-journal", "-wal"):  # else they would be played into the new file
                self.path.with_name(self.path.name + rest).unlink(missing_ok=True)
            return self._try(query, arguments)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep out other processes that find `path` damaged, too."""
    with path.with_name(f"{path.name}.lock").open("w") as file:
        if fcntl:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def default_path() -> Path:
    """Return the cache in the user's cache folder."""
    return user_cache() / "latency.sqlite"
