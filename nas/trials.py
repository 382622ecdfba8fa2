"""What Optuna holds: its samplers think in memory, a `Record` keeps what was told.

Asking and telling in memory keeps a proposal fast (a database commits once a gene); what is told is
written in one transaction. A process that is killed leaves nothing half-done behind. A trial is
told again when its candidate has been promoted: the database gets another row, and the last one of
a candidate's number counts.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .record import Record

optuna.logging.set_verbosity(optuna.logging.WARNING)  # progress is ours to show
_UNFINISHED = (TrialState.RUNNING, TrialState.WAITING)


class Trials:
    """The trials of a study, by their candidates' numbers.

    Args:
        record: what is told goes there, too; None keeps everything in memory.
        directions: of the objectives, as Optuna calls them.

    Attributes:
        told: as they were told last.

    Raises:
        StudyError: the database cannot be read.
    """

    def __init__(self, record: Record | None, directions: list[str]) -> None:
        self._directions, self._record = directions, record
        rows = record.open(directions) if record else []
        self.told: dict[int, FrozenTrial] = {t.user_attrs["number"]: t for t in rows}
        self._under_way: dict[int, Trial] = {}
        self._brain, self._outdated = _open(directions), True

    def brain(self) -> optuna.Study:
        """Return the study that samplers see, up to date."""
        if self._outdated:
            self._renew()
        return self._brain

    def begin(self, number: int, trial: Trial) -> None:
        """Record that the candidate `number` is what `brain` has asked for in `trial`."""
        self._under_way[number] = trial

    def tell(
        self,
        number: int,
        state: TrialState,
        values: list[float] | None,
        attrs: Mapping[str, Any],
        constraints: Mapping[str, float],
    ) -> FrozenTrial:
        """Record a candidate's trial, the first time or again, and return it."""
        again = number in self.told
        trial = deepcopy(self.told[number]) if again else self._under_way.pop(number)
        for name, attr in attrs.items():
            trial.set_user_attr(name, attr)
        for name, value in constraints.items():
            trial.set_constraint(name, value)
        if isinstance(trial, FrozenTrial):
            trial.state, trial.values = state, values
            self._outdated = True
        else:
            trial = self._brain.tell(trial, values, state)
        self.told[number] = trial
        if self._record:
            self._record.add(trial)
        return trial

    def flush(self) -> None:
        """Write down what was told and is not written yet."""
        if self._record:
            self._record.flush()

    def _renew(self) -> None:
        """Make the samplers' study anew, for Optuna changes no finished trial."""
        old, self._brain = self._brain, _open(self._directions)
        self._brain.add_trials([self.told[number] for number in sorted(self.told)])
        left = {t.number: t for t in old.get_trials(deepcopy=False, states=_UNFINISHED)}
        for number, trial in self._under_way.items():
            self._brain.add_trial(left.pop(trial.number))
            last = self._brain.get_trials(deepcopy=False)[-1]
            self._under_way[number] = Trial(self._brain, last._trial_id)
        self._brain.add_trials(left.values())  # enqueued
        self._outdated = False


def _open(directions: list[str]) -> optuna.Study:
    return optuna.create_study(directions=directions)  # type: ignore[arg-type]  # as words
