"""Ray Tune as we use it: it starts, watches and restarts trials."""

from __future__ import annotations

from logging import CRITICAL, getLogger
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ray import tune

from ._ray_searcher import Answering, OnError

if TYPE_CHECKING:
    from ray.tune.experiment import Trial

    from ._ray_searcher import StudySearcher

_FORGET = 1_000  # jobs after which Tune begins anew: it keeps 40 KB of each


def run_trials(worker: Any, searcher: StudySearcher[Any], concurrency: int) -> None:
    """Let Tune run jobs until there are none.

    Args:
        worker: a `Worker` with what it needs.
        searcher: suggests the jobs.
        concurrency: jobs under way at the same time.

    Raises:
        Exception: what ended the search, in `searcher` or in Tune.
    """
    getLogger("ray.tune.tune").setLevel(CRITICAL)  # it lists what we have tried again
    while not searcher.finished:
        with TemporaryDirectory(prefix="nas-tune-") as folder:
            try:
                _tuner(worker, searcher, concurrency, folder).fit()
            except Exception as error:
                raise searcher.error or error from None
        if searcher.error:
            raise searcher.error


def _tuner(worker: Any, searcher: StudySearcher[Any], concurrency: int, folder: str) -> tune.Tuner:
    return tune.Tuner(
        worker,
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=Answering(searcher),
            num_samples=_FORGET,
            max_concurrent_trials=concurrency,
            reuse_actors=True,
            trial_name_creator=_trial_id,
            trial_dirname_creator=_trial_id,
        ),
        run_config=tune.RunConfig(
            storage_path=folder,
            stop=OnError(searcher),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )


def _trial_id(trial: Trial) -> str:
    return str(trial.trial_id)
