"""Which learning rate suits a training that pauses at a rung: one cosine over all, or one a rung?

    python -m benchmarks.rung_schedules [--count N] [--out FILE.csv]

The table holds trainings of three epochs under one cosine. Those of its architectures that it holds
twice are trained once more, with a cosine for the first epoch and one for the other two, which goes
on from the averaged weights. Printed is Spearman's rank correlation of the accuracy after each
epoch with the last accuracy of the table's second seed, and the mean. A file that exists is gone on
with. Five seconds an architecture and core.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import torch

from evaluators.recipe import Recipe
from evaluators.training import train
from search_spaces.network import build

from .tabular.make import EPOCHS, TABLE, images, trainings
from .tabular.space import TASK

COSINES = (1, 2)
CURVE = tuple(f"accuracy_{epoch}" for epoch in range(1, EPOCHS + 1))


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Return the rank correlation, ties sharing the mean of their ranks."""
    ranks = [np.array([(x < y).sum() + (x <= y).sum() for y in x]) for x in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def interval(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the rank correlation over architectures."""
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(a), (1_000, len(a)))
    low, high = np.quantile([spearman(a[i], b[i]) for i in draws], (0.025, 0.975))
    return float(low), float(high)


def read(path: Path) -> dict[tuple[str, str], np.ndarray]:
    """Return the accuracy after each epoch by digest and seed."""
    with path.open(encoding="utf-8", newline="") as file:
        return {
            (row["digest"], row["seed"]): np.array([float(row[name]) for name in CURVE])
            for row in csv.DictReader(file)
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=98, help="architectures")
    parser.add_argument("--out", type=Path, default=Path("runs/rung_schedules.csv"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    table, found = read(TABLE), read(options.out) if options.out.exists() else {}
    twice = [arch for arch, seed in trainings() if seed == 1][: options.count]
    with options.out.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if not found:
            writer.writerow(["digest", "seed", *CURVE])
        for arch in twice:
            if (arch.digest, "0") not in found:
                network = build(arch, TASK, seed=0)
                trained = (train(network, images(), Recipe(epochs=n)) for n in COSINES)
                curve = [result.accuracy for results in trained for result in results]
                writer.writerow([arch.digest, 0, *curve])
                file.flush()
                found[arch.digest, "0"] = np.array(curve)
    last = np.array([table[arch.digest, "1"][-1] for arch in twice])
    for name, curves in (("one cosine", table), ("one a rung", found)):
        for epoch in range(EPOCHS):
            at = np.array([curves[arch.digest, "0"][epoch] for arch in twice])
            low, high = interval(at, last)
            print(
                f"{name} after {epoch + 1} epochs: mean accuracy {100 * at.mean():.2f} %, "
                f"Spearman {spearman(at, last):.2f} ({low:.2f} to {high:.2f}), n = {len(at)}"
            )


if __name__ == "__main__":
    main()
