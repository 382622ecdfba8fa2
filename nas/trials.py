"""What Optuna holds: its samplers think in memory, its database keeps what was told.

Asking and telling in memory keeps a proposal fast (a database commits once a gene); what is told is
written in one transaction. A process that is killed leaves nothing half-done behind. A trial is
told again when its candidate has been promoted: the database gets another row, and the last one of
a candidate's number counts.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from search_spaces.errors import NasError

if TYPE_CHECKING:
    from collections.abc import Mapping

optuna.logging.set_verbosity(optuna.logging.WARNING)  # progress is ours to show
STUDY = "nas"  # the name of the study in its database
_UNFINISHED = (TrialState.RUNNING, TrialState.WAITING)


class StudyError(NasError, RuntimeError):
    """A study's database that cannot be read, or figures that it cannot take."""


class Trials:
    """The trials of a study, by their candidates' numbers.

    Args:
        storage: database URL; None keeps everything in memory.
        directions: of the objectives, as Optuna calls them.

    Attributes:
        told: as they were told last.

    Raises:
        StudyError: the database cannot be read.
    """

    def __init__(self, storage: str | None, directions: list[str]) -> None:
        self._directions = directions
        self._record, rows = _open_record(storage, directions)
        self.told: dict[int, FrozenTrial] = {t.user_attrs["number"]: t for t in rows}
        self._unwritten: list[FrozenTrial] = []
        self._under_way: dict[int, Trial] = {}
        self._brain, self._outdated = _open(None, directions), True

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
        self._unwritten.append(trial)
        self.flush()
        return trial

    def flush(self) -> None:
        """Write down what was told and is not written yet."""
        while self._unwritten:
            if self._record:
                self._record.add_trial(self._unwritten[0])
            del self._unwritten[0]

    def _renew(self) -> None:
        """Make the samplers' study anew, for Optuna changes no finished trial."""
        old, self._brain = self._brain, _open(None, self._directions)
        self._brain.add_trials([self.told[number] for number in sorted(self.told)])
        left = {t.number: t for t in old.get_trials(deepcopy=False, states=_UNFINISHED)}
        for number, trial in self._under_way.items():
            self._brain.add_trial(left.pop(trial.number))
            last = self._brain.get_trials(deepcopy=False)[-1]
            self._under_way[number] = Trial(self._brain, last._trial_id)
        self._brain.add_trials(left.values())  # enqueued
        self._outdated = False


def _open_record(
    storage: str | None, directions: list[str]
) -> tuple[optuna.Study | None, list[FrozenTrial]]:
    if storage is None:
        return None, []
    try:
        record = _open(storage, directions)
        return record, record.get_trials()
    except (SQLAlchemyError, StorageInternalError) as error:
        reason = str(error).splitlines()[0]
        raise StudyError(f"{storage} cannot be opened as a study: {reason}") from None


def _open(storage: str | None, directions: list[str]) -> optuna.Study:
    return optuna.create_study(
        storage=storage,
        study_name=STUDY,
        directions=directions,  # type: ignore[arg-type]  # "maximize" or "minimize"
        load_if_exists=True,
    )
