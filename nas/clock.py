"""Where a run's time goes, over all its sittings."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict
from time import monotonic
from typing import TYPE_CHECKING

from evaluators.ledger import drain

from .runs import read_run, update_run
from .spent import Account

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Clock:
    """Seconds spent by phase, and by kind, kept in the run folder, against a limit.

    Args:
        directory: the run folder.
        timeout: seconds for all sittings together; None is no limit.
        workers: whose time is accounted.
    """

    def __init__(self, directory: Path, timeout: float | None, workers: int = 1) -> None:
        self.timeout = timeout
        self._directory, self._workers = directory, workers
        run = read_run(directory)
        self._spent: dict[str, float] = run["seconds"]
        self._account = Account.of_run(run)
        drain()  # what came before is nobody's
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
        self._account = self._account.later(now - self._since, self._workers)
        self._since = now
        update_run(self._directory, seconds=self._spent, spent=asdict(self._account))
