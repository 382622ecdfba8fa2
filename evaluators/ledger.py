"""Where a process's time goes: seconds by kind, those of its workers beside its own.

A kind within another takes its seconds from it: training that waits for a measurement is waiting.
Each thread keeps an account of its own.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

T = TypeVar("T")


class Spent(NamedTuple):
    """Seconds by kind: of this process, and of workers that reported theirs."""

    own: dict[str, float]
    workers: dict[str, float]


class _Ledger(threading.local):
    def __init__(self) -> None:
        self.own: Counter[str] = Counter()
        self.workers: Counter[str] = Counter()
        self.under_way: list[str] = []  # the innermost kind is the last
        self.since = perf_counter()

    def turn(self) -> None:
        """Charge the time since the last turn to the innermost kind."""
        now = perf_counter()
        if self.under_way:
            self.own[self.under_way[-1]] += now - self.since  # type: ignore[assignment]
        self.since = now


_ledger = _Ledger()


@contextmanager
def spending(kind: str) -> Iterator[None]:
    """Account the time inside to `kind`."""
    _ledger.turn()
    _ledger.under_way.append(kind)
    try:
        yield
    finally:
        _ledger.turn()
        _ledger.under_way.pop()


def spending_each(kind: str, items: Iterator[T]) -> Iterator[T]:
    """Yield `items`, and account to `kind` what each takes, but not what is done with it."""
    while True:
        with spending(kind):
            item = next(items, _ledger)
        if item is _ledger:
            return
        yield item  # type: ignore[misc]


def receive(seconds: Mapping[str, float]) -> None:
    """Take over what a worker has spent."""
    _ledger.workers.update(seconds)


def drain() -> Spent:
    """Return what was spent since the last call, and begin anew."""
    _ledger.turn()
    spent = Spent(dict(_ledger.own), dict(_ledger.workers))
    _ledger.own.clear()
    _ledger.workers.clear()
    return spent
