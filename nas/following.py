"""A thread that copies what changes while something goes on."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING

from .stores import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHARE = 0.1  # of the time, at most, in which files are copied
_PAUSE_S = 2.0  # at least


@contextmanager
def following(
    copy: Callable[[], None], told: Callable[[StoreError | None], None]
) -> Iterator[None]:
    """Call `copy` again and again meanwhile, each time after a pause.

    Args:
        copy: the work.
        told: given the first error of several, and None when it works again.
    """
    ended = Event()
    thread = Thread(target=_follow, args=(copy, told, ended), name="nas-mirror", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _follow(
    copy: Callable[[], None], told: Callable[[StoreError | None], None], ended: Event
) -> None:
    failing, pause = False, 0.0
    while not ended.wait(pause):
        begun = monotonic()
        try:
            copy()
        except StoreError as error:
            if not failing:
                told(error)
            failing = True
        else:
            if failing:
                told(None)
            failing = False
        pause = max(_PAUSE_S, (monotonic() - begun) * (1 / SHARE - 1))
