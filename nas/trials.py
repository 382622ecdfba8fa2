"""What Optuna holds: its samplers think in memory, a `Record` keeps what was told.

Asking and telling in memory keeps a proposal fast (a database commits once a gene); what is told is
written in one transaction. A process that is killed leaves nothing half-done behind. A trial is
told again when its candidate has been promoted: in memory it is changed in place, which Optuna by
itself never does; the database gets another row, and the last one of a candidate's number counts.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import optuna

if TYPE_CHECKING:
    from collections.abc import Mapping

    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, Trial, TrialState

    from .record import Record

optuna.logging.set_verbosity(optuna.logging.WARNING)  # progress is ours to show


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
        self._record = record
        self.told: dict[int, FrozenTrial] = {}
        self._under_way: dict[int, Trial] = {}
        self._distributions: dict[str, BaseDistribution] = {}
        self._brain = optuna.create_study(directions=directions)  # type: ignore[arg-type]  # words
        rows = record.open(directions) if record else []
        self._brain.add_trials(sorted(rows, key=lambda trial: trial.user_attrs["number"]))
        for trial in self._brain.get_trials(deepcopy=False):
            self._keep(trial.user_attrs["number"], trial)

    def brain(self) -> optuna.Study:
        """Return the study that samplers see, up to date."""
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
        if number in self.told:
            trial = self.told[number]
            _change(trial, attrs, constraints)
            trial.state, trial.values = state, values
        else:
            begun = self._under_way.pop(number)
            _change(begun, attrs, constraints)
            self._brain.tell(begun, values, state)
            trial = self._brain.get_trials(deepcopy=False)[begun.number]
            self._keep(number, trial)
        if self._record:
            self._record.add(deepcopy(trial))
        return trial

    def _keep(self, number: int, trial: FrozenTrial) -> None:
        """Keep a trial of the brain's own, which thus sees what it is told again.

        Each trial brings descriptions of its genes, most of its memory: equal ones become one.
        """
        shared = self._distributions
        pairs = ((n, shared.setdefault(n, d), d) for n, d in trial.distributions.items())
        trial.distributions = {n: first if first == d else d for n, first, d in pairs}
        self.told[number] = trial

    def flush(self) -> None:
        """Write down what was told and is not written yet."""
        if self._record:
            self._record.flush()


def _change(
    trial: FrozenTrial | Trial, attrs: Mapping[str, Any], constraints: Mapping[str, float]
) -> None:
    for name, attr in attrs.items():
        trial.set_user_attr(name, attr)
    for name in constraints.keys() - trial.constraints.keys():  # a measured limit stays
        trial.set_constraint(name, constraints[name])
