"""Calls that run side by side, each waited for when it is needed."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

K = TypeVar("K")
T = TypeVar("T")


class SideBySide(Generic[K, T]):
    """Calls under way, each in a thread that waits for another process.

    Args:
        places: how many; a single one is made by `begin` itself, without a thread.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._pool = ThreadPoolExecutor(places) if places > 1 else None
        self._calls: dict[Future[T], K] = {}

    def __len__(self) -> int:
        """Return how many have begun and were not taken."""
        return len(self._calls)

    @property
    def full(self) -> bool:
        """Whether another call would have to wait."""
        return len(self) >= self._places

    def begin(self, key: K, function: Callable[[], T]) -> None:
        """Begin a call."""
        future: Future[T] = Future()
        if self._pool:
            future = self._pool.submit(function)
        else:
            try:
                future.set_result(function())
            except Exception as error:
                future.set_exception(error)
        self._calls[future] = key

    def take(self) -> tuple[K, Future[T]]:
        """Return the first call that has ended, and its key."""
        done, _ = wait(self._calls, return_when=FIRST_COMPLETED)
        future = next(future for future in self._calls if future in done)
        return self._calls.pop(future), future

    def end(self) -> None:
        """Begin no more; who is under way ends when its process does."""
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)
