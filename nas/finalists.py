"""The end of a search: few architectures trained to the end, tested, exported."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import inf
from time import time
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluators.accuracy import unshifted_share
from evaluators.checkpoint import read_checkpoint
from evaluators.data import DataSpec, load
from evaluators.evaluator import Report
from evaluators.ledger import spending, spending_each
from evaluators.predict import evaluate
from evaluators.quiet import working
from evaluators.training import train_until_settled
from search_spaces.network import build

from . import provenance
from .executors.local import Files
from .exporter import FORMATS, export
from .folder import METRICS_FILE, renew
from .objectives import OBJECTIVES, points_of
from .pareto import hypervolume, non_dominated, wilson
from .runs import RUN_FILE
from .telling import TRAINED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from torch import nn

    from evaluators.data import Images
    from evaluators.evaluator import Metric
    from evaluators.recipe import Recipe
    from search_spaces.arch import Arch, Task

PATIENCE = 4  # epochs without a better validation accuracy after which it counts as settled
_SHARE_OF_EPOCHS = 0.75


@dataclass(frozen=True)
class Finish:
    """Trains an architecture until its accuracy settles, tests it and exports it.

    Attributes:
        data: the images; this is the one place where the test split is read.
        recipe: of the training.
        models: the folder in which a folder of the architecture's digest is made.
        deadline: time (as `time.time()` tells it) after which no further epoch begins.
        formats: of the model's files.
    """

    data: DataSpec
    recipe: Recipe
    models: Path
    deadline: float = inf
    formats: tuple[str, ...] = FORMATS

    def __call__(self, arch: Arch, task: Task) -> Iterator[Report]:
        """Yield a report an epoch; the model's folder is complete when this ends."""
        data, task = self.data.sized(arch.resolution), arch.on(task)
        with working(), spending("loading"):  # decoding images is work, too
            images = load(data)
        with spending("building"):
            network = build(arch, task, seed=self.recipe.seed)
        checkpoint = self._checkpoint(arch)
        training = train_until_settled(
            network, images, self.recipe, patience=PATIENCE, checkpoint=checkpoint
        )
        for result in spending_each("training", training):
            yield Report(result.epoch, {"accuracy": result.accuracy})
            if time() > self.deadline:
                break
        with spending("testing"):
            metrics = {**_tested(network, images), "epochs": read_checkpoint(checkpoint)["epoch"]}
        with spending("exporting"):
            known = provenance.of_run(self.models.parent)
            known |= provenance.of_training(data, images, self.recipe)
            beside = {provenance.FILE: provenance.to_json(known), METRICS_FILE: _json(metrics)}
            directory = self.models / arch.digest
            export(arch, network, task, images, directory, self.formats, beside)
        checkpoint.unlink(missing_ok=True)

    def files(self, arch: Arch) -> Files:
        """Return what the training of `arch` reads in the run folder."""
        run = self.models.parent
        names = (run / RUN_FILE, self._checkpoint(arch))
        return Files(run, tuple(path.relative_to(run).as_posix() for path in names))

    def _checkpoint(self, arch: Arch) -> Path:
        return self.models / f".{arch.digest}.pt"  # outlives a kill, not the export


def _tested(network: nn.Module, images: Images) -> dict[str, Any]:
    test_accuracy = evaluate(network, images.test, images)
    low, high = wilson(test_accuracy, len(images.test))
    return {
        "accuracy": evaluate(network, images.val, images),
        "test_accuracy": test_accuracy,
        "test_accuracy_low": low,
        "test_accuracy_high": high,
        "test_images": len(images.test),
        "seeds": 1,
        **unshifted_share(network),
    }


def keep_metrics(models: Path, digest: str, metrics: Mapping[str, Any]) -> None:
    """Write a finalist's metrics."""
    renew(models / digest, {METRICS_FILE: _json(metrics)})


def _json(metrics: Mapping[str, Any]) -> bytes:
    return json.dumps(metrics, indent=2).encode()


def finished(models: Path, digest: str) -> Mapping[str, Any] | None:
    """Return the metrics of a finalist that is already exported, else None."""
    path = models / digest / METRICS_FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def choose_finalists(
    trials: pd.DataFrame, count: int, objectives: Sequence[Metric] = OBJECTIVES
) -> list[str]:
    """Return digests of the most accurate candidate and of those that widen the front most.

    They come from the front of accuracy and latencies, at most `count`, each the one that adds most
    hypervolume to those before it.
    """
    done = trials[trials["state"].isin(TRAINED)].reset_index(drop=True)
    if done.empty:
        return []
    points, goals = points_of(done, objectives)
    left = list(np.flatnonzero(non_dominated(points, goals)))
    reference = [0.0, *(points[:, 1:].max(axis=0) * 1.01)]
    chosen = [max(left, key=lambda i: points[i, 0])]
    left.remove(chosen[0])
    while left and len(chosen) < count:
        volumes = [hypervolume(points[[*chosen, i]], reference, goals) for i in left]
        chosen.append(left.pop(int(np.argmax(volumes))))
    return [str(done["digest"][i]) for i in chosen]


def only_predicted(trials: pd.DataFrame, objectives: Sequence[Metric] = OBJECTIVES) -> list[str]:
    """Return digests of those on the front of accuracy and latencies that were not measured."""
    told = [name for name in trials if str(name).endswith("latency_measured")]
    if not told:
        return []
    done = trials[trials["state"].isin(TRAINED)]
    front = done[non_dominated(*points_of(done, objectives))]
    return list(front["digest"][(front[told] == 0).any(axis=1)])


def plan(
    epoch_seconds: Sequence[float], epochs: int, workers: int, seconds: float | None
) -> tuple[int, int]:
    """Return how many finalists to train, and for how many epochs, in the time that is left.

    Rather fewer finalists than less than three quarters of the epochs, but as many as workers.

    Args:
        epoch_seconds: how long an epoch of each takes one worker, the most important first.
        epochs: of each at most.
        workers: processes that train side by side.
        seconds: the time that is left; None is no limit.
    """
    if seconds is None:
        return len(epoch_seconds), epochs
    for count in range(len(epoch_seconds), 0, -1):
        times = epoch_seconds[:count]
        affordable = int(seconds / max(sum(times) / workers, max(times)))
        if affordable >= epochs * _SHARE_OF_EPOCHS or count <= workers:
            return count, max(1, min(epochs, affordable))
    return 0, epochs
