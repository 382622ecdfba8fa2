"""Searches replayed on the table of trained networks, epoch by epoch: what does halving save?

    python -m benchmarks.schedulers [--seeds N] [--jobs N]

Each search may train so many epochs in total. A candidate's accuracy after an epoch is that of one
training of the table, whose three epochs make two rungs: after one, and after all. Printed is the
regret, in points: the best mean accuracy of the table less that of the candidate that looks best so
far. Means over seeds, and half the width of their 95 % interval.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import product
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np

from evaluators.fidelity import rungs
from nas.halving import SCHEDULERS, Halving
from nas.study import Study

from .rung_schedules import read
from .search_quality import show
from .tabular.make import EPOCHS, TABLE, TRAIN
from .tabular.problems import ACCURACY, table
from .tabular.space import TASK

AT = (15, 30, 60, 120)  # epochs in total
SAMPLERS = ("auto", "random")


class Run(NamedTuple):
    """One search: who proposes, who goes on, and the seed of both and of the trainings."""

    sampler: str
    scheduler: str
    seed: int


@cache
def trainings() -> dict[str, list[np.ndarray]]:
    """Return by digest the accuracy after each epoch, in points, of each training."""
    found: dict[str, list[np.ndarray]] = {}
    for (digest, _), curve in read(TABLE).items():
        found.setdefault(digest, []).append(100 * curve)
    return found


def regrets(run: Run, epochs: int = AT[-1]) -> np.ndarray:
    """Return (epochs,) the regret after each epoch of the search; nan before the first rung."""
    rng, known = np.random.default_rng(run.seed), table("trained")
    curves = {digest: each[rng.integers(len(each))] for digest, each in trainings().items()}
    best = max(accuracy for accuracy, _ in known.truth.values())
    steps = [r.epochs for r in rungs("epochs", EPOCHS, images=TRAIN, side=TASK.shape[1])]
    halving = Halving(run.scheduler, len(steps), (ACCURACY.goal,))
    study = Study(known.space, known.task, (ACCURACY,), sampler=run.sampler, seed=run.seed)
    candidates, shown = [], {}
    found = [np.nan]
    while len(found) <= epochs:
        trained = 0
        if promotion := halving.next():
            candidate, rung = candidates[promotion.number], promotion.rung
            halving.left(candidate.number)
            trained = steps[rung - 1]
        elif candidate := study.ask():
            candidates.append(candidate)
            rung = halving.first(candidate.number)
        else:
            break
        found += [found[-1]] * (steps[rung] - trained - 1)  # a rung tells, not an epoch
        digest = candidate.arch.digest
        shown[digest] = curves[digest][steps[rung] - 1]
        found.append(best - known.truth[max(shown, key=shown.__getitem__)][0])
        halving.reached(candidate.number, rung, [shown[digest]])
        outcome = "complete" if rung == len(steps) - 1 else "paused"
        study.tell(candidate, outcome, {"accuracy": shown[digest]})
    return np.array(found[1 : epochs + 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        curves = {}
        for sampler, scheduler in product(SAMPLERS, SCHEDULERS):
            runs = [Run(sampler, scheduler, seed) for seed in range(options.seeds)]
            curves[f"{sampler}, {scheduler}"] = np.array(list(pool.map(regrets, runs)))
    show(f"epochs, n = {options.seeds}", curves, AT)


if __name__ == "__main__":
    main()
