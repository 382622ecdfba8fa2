"""What a study has finished, in a database; while that fails, in a file beside the run.

A finished trial is written in one transaction; one that is told again gets another row, and the
last one of its number counts. A server that goes away in the middle of a search
costs nothing: trials wait in `unwritten.db` of the run folder, and the server gets them when it is
back, at the latest at the next `nas resume`.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

import optuna
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from .storage import StudyError, database_url, engine_options, masked, missing_driver, one_line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from optuna.trial import FrozenTrial

STUDY = "nas"  # the name of a study in a database of its own
SPARE_FILE = "unwritten.db"
_RETRY_S = 30.0  # between tries to reach a server that is gone
_BROKEN = (SQLAlchemyError, StorageInternalError, KeyError)  # KeyError: the study was deleted


class Record:
    """The finished trials of one study in a database.

    Args:
        storage: URL of the database.
        name: of the study there.
        existing: whether it must be there already.
        spare: a file for what the database does not take; without one, a failure is an error.
        note: told once that the database fails, and that it works again.

    Raises:
        StudyError: the database or its driver is missing or refuses us.
    """

    def __init__(
        self,
        storage: str,
        name: str = STUDY,
        *,
        existing: bool = False,
        spare: Path | None = None,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.name, self._shown = name, masked(storage)
        self._table = _Table(storage, name)
        self._existing, self._spare_path, self._note = existing, spare, note
        self._spare: _Table | None = None
        self._waiting: dict[int, FrozenTrial] = {}  # by number: not in the database, or perhaps not
        self._spared: dict[int, FrozenTrial] = {}  # what the spare file has
        self._doubtful = False  # a write was cut off: it may have reached the database
        self._retry_at = 0.0

    def open(self, directions: list[str]) -> list[FrozenTrial]:
        """Return the finished trials by number, those that waited included; call this first.

        Raises:
            StudyError: the study is not there, has other objectives, or it cannot be read.
        """
        self._directions = directions
        try:
            if not self._table.open(directions, self._existing):
                raise StudyError(
                    f"{self._shown} has no study {self.name!r}: is it this run's database?"
                )
            goals = self._table.directions()
            if goals != directions:
                raise StudyError(
                    f"study {self.name!r} of {self._shown} has other objectives: it is to "
                    f"{', '.join(goals)}, not to {', '.join(directions)}; name another database"
                )
            found = self._table.trials()
        except _BROKEN as error:
            raise StudyError(f"{self._shown} cannot be read: {one_line(error)}") from None
        if self._spare_path is not None and self._spare_path.exists():
            self._spared = self._open_spare().trials()
            known = {n for n, trial in self._spared.items() if _same(trial, found.get(n))}
            self._waiting = {n: t for n, t in self._spared.items() if n not in known}
            found |= self._waiting
            self.flush()
        return [found[number] for number in sorted(found)]

    def add(self, trial: FrozenTrial) -> None:
        """Write a finished trial down: in the database, or else in the spare file.

        Raises:
            StudyError: the database fails, and there is no spare file.
        """
        self._waiting[trial.user_attrs["number"]] = trial
        if monotonic() >= self._retry_at:
            self.flush()
        self._spare_waiting()

    def flush(self) -> None:
        """Write what waits into the database, also what an interrupt kept `add` from writing.

        Raises:
            StudyError: the database fails, and there is no spare file.
        """
        try:
            self._write_waiting()
        except _BROKEN as error:
            if self._spare_path is None:
                raise StudyError(f"{self._shown} fails: {one_line(error)}") from None
            if not self._retry_at:
                self._note(
                    f"{self._shown} fails ({one_line(error)}): until it works again, finished "
                    f"candidates are kept in {self._spare_path}"
                )
            self._retry_at = monotonic() + _RETRY_S
            self._spare_waiting()
            return
        if self._retry_at:
            self._note(f"{self._shown} works again and has every finished candidate")
            self._retry_at = 0.0
        if self._spare_path is not None and self._spare_path.exists():
            self._drop_spare(self._spare_path)

    def _write_waiting(self) -> None:
        if self._waiting:
            self._table.reach()  # else Optuna tries five times and sleeps a second in between
        if self._doubtful:
            for number, trial in self._table.trials().items():
                if _same(trial, self._waiting.get(number)):
                    del self._waiting[number]
        for number, trial in list(self._waiting.items()):
            self._doubtful = True
            self._table.add(trial)
            del self._waiting[number]
            self._doubtful = False

    def _spare_waiting(self) -> None:
        for number, trial in self._waiting.items() if self._spare_path else ():
            if self._spared.get(number) is not trial:
                self._open_spare().add(trial)
                self._spared[number] = trial

    def _open_spare(self) -> _Table:
        if self._spare is None:
            self._spare = _Table(f"sqlite:///{self._spare_path}", STUDY)
            self._spare.open(self._directions, existing=False)
        return self._spare

    def _drop_spare(self, path: Path) -> None:
        if self._spare is not None:
            self._spare.close()
        path.unlink()
        self._spare, self._spared = None, {}


class _Table:
    """A study in a database, without the copy of all trials that Optuna's own study keeps."""

    def __init__(self, storage: str, name: str) -> None:
        self._name = name
        self._database = open_database(storage)

    def open(self, directions: list[str], existing: bool) -> bool:
        """Find the study, or make it unless it must be `existing`; say whether it is there."""
        try:
            self._study = self._database.get_study_id_from_name(self._name)
        except KeyError:
            if existing:
                return False
            goals = [optuna.study.StudyDirection[d.upper()] for d in directions]
            self._study = self._database.create_new_study(goals, self._name)
        return True

    def directions(self) -> list[str]:
        """Return those of the objectives, as Optuna calls them."""
        return [d.name.lower() for d in self._database.get_study_directions(self._study)]

    def trials(self) -> dict[int, FrozenTrial]:
        """Return our finished trials by their number in the search."""
        trials = self._database.get_all_trials(self._study, deepcopy=False)
        return {t.user_attrs["number"]: t for t in trials if "number" in t.user_attrs}

    def add(self, trial: FrozenTrial) -> None:
        self._database.create_new_trial(self._study, trial)

    def reach(self) -> None:
        """Raise what SQLAlchemy raises where the server does not answer."""
        with self._database.engine.connect():
            pass

    def close(self) -> None:
        self._database.remove_session()
        self._database.engine.dispose()


def _same(one: FrozenTrial, other: FrozenTrial | None) -> bool:
    """Tell whether two rows of a trial say the same; the database numbers them by itself."""
    return other is not None and (one.user_attrs, one.values) == (other.user_attrs, other.values)


class _Database(optuna.storages.RDBStorage):
    """Optuna's, which asks for each gene of a trial what earlier trials had it chosen from.

    A run's space never changes, and these queries grow with the study: they are left out.
    """

    def _set_trial_param_without_commit(  # Optuna's own, given what it would ask for
        self, session: Any, trial_id: int, name: str, value: float, distribution: Any, *_: Any
    ) -> None:
        super()._set_trial_param_without_commit(
            session, trial_id, name, value, distribution, distribution
        )


def open_database(storage: str) -> optuna.storages.RDBStorage:
    """Return the database at a URL, with Optuna's tables in it.

    Raises:
        StudyError: it or its driver is missing, it refuses us, or it is another version's.
    """
    url, shown = database_url(storage), masked(storage)
    text = url.render_as_string(hide_password=False)
    text = text.replace("{", "{{").replace("}", "}}")  # Optuna fills a template
    try:
        return _Database(text, engine_kwargs=engine_options(url))
    except ImportError:
        raise missing_driver(url) from None
    except (SQLAlchemyError, StorageInternalError, RuntimeError) as error:
        raise StudyError(f"{shown} cannot be opened as a study: {one_line(error)}") from None
