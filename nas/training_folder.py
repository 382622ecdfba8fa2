"""What a full training keeps in its folder, so that it can go on after a kill.

    .training/training.json   what is trained, on what, how: a resumed training must be the same
    .training/checkpoint.pt   the state after the last epoch
    .training/run.lock        held by the process that trains
    history.csv               a line an epoch

The model's files join when it is done; .training is then removed.
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from evaluators.ranks import ALONE
from search_spaces.errors import NasError

from . import provenance
from .files import read_json, write_text
from .folder import METRICS_FILE
from .runs import TRAINING, locked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from evaluators.ranks import Ranks

LOGS = "tensorboard"  # folder of logs; alone, it is all that an early end has left
_ABOUT, _CHECKPOINT = "training.json", "checkpoint.pt"
_SAME = ("digest", "data", "recipe", "teacher")  # what makes two trainings one


class TrainingError(NasError, OSError):
    """A folder that holds something else than the training that is to go on in it."""


@contextmanager
def training_folder(
    out: Path, about: Mapping[str, Any], resume: bool, ranks: Ranks = ALONE
) -> Iterator[Path | None]:
    """Lend the path of the checkpoint of the training in the folder `out`; None if it is finished.

    Args:
        out: new or empty, or a folder of this very training if it is to `resume`.
        about: what is trained, as plain values by the names in `_SAME`.
        resume: whether to go on with what is there.
        ranks: the processes that train; all look, the first writes.

    Raises:
        TrainingError: the folder holds something else, or cannot be written.
    """
    wanted = json.loads(json.dumps({key: about.get(key) for key in _SAME}))
    hidden, finished = out / TRAINING, _finished(out, wanted, resume)
    ranks.wait()  # nobody writes before all have looked
    if finished:
        yield None
        return
    if not ranks.first:
        ranks.wait()
        yield hidden / _CHECKPOINT
        return
    try:
        hidden.mkdir(parents=True, exist_ok=True)
        with locked(hidden):
            write_text(hidden / _ABOUT, json.dumps(wanted, indent=2))
            ranks.wait()
            try:
                yield hidden / _CHECKPOINT
            except BaseException:
                if not (hidden / _CHECKPOINT).exists():  # nothing to go on with
                    close(out)
                raise
    except OSError as error:
        if isinstance(error, NasError):
            raise
        raise TrainingError(f"{out} cannot be written: {error.strerror}") from error


def _finished(out: Path, wanted: Mapping[str, Any], resume: bool) -> bool:
    """Return whether this very training has ended; refuse to go on with anything else."""
    if not out.exists() or (out.is_dir() and not any(p.name != LOGS for p in out.iterdir())):
        return False
    known = _known(out)
    if known is None or known["digest"] is None:  # a model that was not trained there has none
        raise TrainingError(f"{out} holds something else; choose another --out")
    if not resume:
        raise TrainingError(f"{out} holds a training; go on with --resume, or choose another")
    _refuse_difference(out, known, wanted)
    return not (out / TRAINING).is_dir()


def close(out: Path) -> None:
    """Remove what only a training under way needs; and the folder, if nothing else is in it."""
    shutil.rmtree(out / TRAINING, ignore_errors=True)
    with suppress(OSError):
        out.rmdir()


def _known(out: Path) -> dict[str, Any] | None:
    """Return what the training in `out` is about; None if there is none."""
    try:
        if (out / TRAINING / _ABOUT).exists():
            return dict(read_json(out / TRAINING / _ABOUT))
        if not (out / METRICS_FILE).exists():
            return None
        known = read_json(out / provenance.FILE)
        return {key: known.get(key) for key in _SAME}
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _refuse_difference(out: Path, known: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    there, here = _flat(known), _flat(wanted)
    for key in here | there:
        if there.get(key) != here.get(key):
            raise TrainingError(
                f"{out} holds another training: `{key}` is {there.get(key)!r} there, not "
                f"{here.get(key)!r}; choose another --out"
            )


def _flat(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested values by dotted names."""
    found: dict[str, Any] = {}
    for key, value in about.items():
        inner = _flat(value) if isinstance(value, dict) else None
        found |= {key: value} if inner is None else {f"{key}.{k}": v for k, v in inner.items()}
    return found
