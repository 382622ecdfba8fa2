"""Where a run's time goes, over all its sittings."""

from __future__ import annotations

from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from .runs import read_run, update_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Clock:
    """Seconds spent by phase, kept in the run folder, against a limit.

    Args:
        directory: the run folder.
        timeout: seconds for all sittings together; None is no limit.
    """

    def __init__(self, directory: Path, timeout: float | None) -> None:
        self.timeout = timeout
        self._directory = directory
        self._spent: dict[str, float] = read_run(directory)["seconds"]
        self._name, self._since = "", monotonic()

    def left(self, share: float = 1.0) -> float | None:
        """Return the seconds left of a share of the limit, at least 0; None if there is none."""
        if self.timeout is None:
            return None
        used = sum(self._spent.values()) + monotonic() - self._since
        return max(0.0, share * self.timeout - used)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Add the time spent inside to the account of `name`, also if it is interrupted."""
        self._name, self._since = name, monotonic()
        try:
            yield
        finally:
            self.keep()

    def keep(self) -> None:
        """Write the account down: a kill forgets no more than what has passed since."""
        now = monotonic()
        self._spent[self._name] = self._spent.get(self._name, 0.0) + now - self._since
        self._since = now
        update_run(self._directory, seconds=self._spent)
