"""How well training-free scores rank the architectures of the table, beside their mere sizes.

    python -m benchmarks.proxy_correlation [--seeds N] [--out FILE.csv]

Printed for each score is Spearman's rank correlation with the accuracy after three epochs (of two
trainings the mean), with a 95 % bootstrap interval over the 294 architectures; the same among those
that are neither below nor above the median in parameters by more than a quarter; how many of the
best tenth a screen by the worst third would lose; and milliseconds a score, building included. A
score is the mean over seeds of the weights. Two minutes of one core for three seeds.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from evaluators.proxy import PROXIES, first_batch, score
from search_spaces.network import build

from .rung_schedules import interval, spearman
from .tabular.make import images
from .tabular.problems import trained
from .tabular.space import SPACE, TASK

SCREENED, BEST = 1 / 3, 1 / 10
NEAR = 0.25  # of the median


def scores(names: list[str], seeds: int) -> dict[str, tuple[np.ndarray, float]]:
    """Return by name the score of each architecture of the space, and the milliseconds of one."""
    batch, found = first_batch(images()), {}
    for name in names:
        start = perf_counter()
        values = [
            [score(name, build(arch, TASK, seed), batch, seed) for seed in range(seeds)]
            for arch in SPACE.enumerate()
        ]
        milliseconds = 1e3 * (perf_counter() - start) / np.size(values)
        found[name] = np.mean(values, axis=1), milliseconds
    return found


def correlation(values: np.ndarray, accuracy: np.ndarray) -> str:
    low, high = interval(values, accuracy)
    return f"{spearman(values, accuracy):.2f} ({low:.2f} to {high:.2f}), n = {len(values)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/proxy_correlation.csv"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    archs, truth = list(SPACE.enumerate()), trained().truth
    accuracy = np.array([truth[arch.digest][0] for arch in archs])
    costs = [arch.cost(TASK) for arch in archs]
    found = {
        name: (np.array([getattr(c, name) for c in costs]), 0.0) for name in ("params", "macs")
    }
    found |= scores(list(PROXIES), options.seeds)
    params = found["params"][0]
    alike = abs(params / np.median(params) - 1) < NEAR
    best = np.argsort(-accuracy)[: round(BEST * len(archs))]
    for name, (values, milliseconds) in found.items():
        lost = (values[best] < np.quantile(values, SCREENED)).sum()
        print(
            f"{name}: {correlation(values, accuracy)}; of like size "
            f"{correlation(values[alike], accuracy[alike])}; loses {lost} of the best {len(best)}; "
            f"{milliseconds:.1f} ms"
        )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["digest", "accuracy", *found])
        rows = zip(*(values for values, _ in found.values()), strict=True)
        for arch, known, row in zip(archs, accuracy, rows, strict=True):
            writer.writerow([arch.digest, known, *row])


if __name__ == "__main__":
    main()
