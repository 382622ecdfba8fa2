"""Jobs in waves: what is asked next depends on neither the number of workers nor their speed."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from .local import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluators.evaluator import Report

    from .local import Executor

J = TypeVar("J")
WAVE = 8  # jobs; more would keep more workers busy, fewer would learn sooner


class Waves:
    """Asks for as many jobs as a wave has, runs them, and tells their ends as they were asked for.

    Args:
        executor: what runs them; more workers than a wave has jobs are of no use.
        size: of a wave; another one gives other proposals.
    """

    def __init__(self, executor: Executor, size: int = WAVE) -> None:
        self._executor, self._size = executor, size

    @property
    def workers(self) -> int:
        """How many jobs are under way at the same time."""
        return min(self._executor.workers, self._size)

    def __enter__(self) -> Waves:
        self._executor.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._executor.__exit__(*error)

    def run(
        self,
        next_job: Callable[[], Job[J] | None],
        on_report: Callable[[J, Report], bool],
        on_end: Callable[[J, str | None], None],
    ) -> None:
        """Work until `next_job` returns None at the beginning of a wave.

        Args:
            next_job: called as often as a wave has jobs, or until it returns None.
            on_report: says whether the job goes on; reports come in no certain order.
            on_end: told once a job, after the wave, with a reason if it failed.
        """
        while wave := list(islice(iter(next_job, None), self._size)):
            for key, reason in self._run(wave, on_report):
                on_end(key, reason)

    def _run(
        self, wave: list[Job[J]], on_report: Callable[[J, Report], bool]
    ) -> list[tuple[J, str | None]]:
        """Return how the jobs of a wave have ended, in their order."""
        places = iter(range(len(wave)))
        ends: dict[int, str | None] = {}

        def next_place() -> Job[int] | None:
            place = next(places, None)
            return None if place is None else Job(place, wave[place].work, wave[place].files)

        def goes_on(place: int, report: Report) -> bool:
            return on_report(wave[place].key, report)

        self._executor.run(next_place, goes_on, ends.__setitem__)
        return [(job.key, ends[place]) for place, job in enumerate(wave)]
