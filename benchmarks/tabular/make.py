"""Train every architecture of the table, a third of them twice; an interrupted run goes on.

    python -m benchmarks.tabular.make [TABLE.csv]

One thread, about half an hour of one core. Each training is one row: 3,000 images of the bundled
Fashion-MNIST subset at 20 pixels, three epochs, accuracy on 4,000 others after each of them.
"""

from __future__ import annotations

import csv
import os
import random
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from evaluators.data import DataSpec, Images, Split, load
from evaluators.latency import Latency
from evaluators.recipe import Recipe
from evaluators.training import train
from search_spaces.network import build

from .space import SPACE, TASK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from search_spaces.arch import Arch

TABLE = Path(__file__).with_name("table.csv")
EPOCHS = 3
TRAIN, HELD_OUT = 3_000, 2_000  # of the training images; the validation images are held out, too
COLUMNS = ("digest", "seed", "params", "macs", "latency_ms", "latency_low_ms", "latency_high_ms")
COLUMNS += (*(f"accuracy_{epoch}" for epoch in range(1, EPOCHS + 1)), "arch")


def trainings() -> Iterator[tuple[Arch, int]]:
    """Iterate over architectures and seeds, in an order that makes any beginning a fair sample."""
    archs = list(SPACE.enumerate())
    random.Random(0).shuffle(archs)
    yield from ((arch, 0) for arch in archs)
    yield from ((arch, 1) for arch in archs[: len(archs) // 3])


@cache
def images() -> Images:
    """Return the bundled images, but most of them for validation."""
    bundled = load(DataSpec(image_size=TASK.shape[1]))
    pixels, labels = bundled.train.images, bundled.train.labels
    held_out = Split(
        torch.cat([bundled.val.images, pixels[-HELD_OUT:]]),
        torch.cat([bundled.val.labels, labels[-HELD_OUT:]]),
    )
    return replace(bundled, train=Split(pixels[:TRAIN], labels[:TRAIN]), val=held_out)


@cache
def latency(arch: Arch) -> dict[str, float]:
    """Return the measured latency of `arch`, in ms."""
    metrics = next(iter(Latency(seconds=0.5)(arch, TASK))).metrics
    return {name: round(metrics[name], 5) for name in COLUMNS if name in metrics}


def row(arch: Arch, seed: int) -> dict[str, object]:
    """Train `arch` and return its row."""
    network, cost = build(arch, TASK, seed=seed), arch.cost(TASK)
    results = train(network, images(), Recipe(epochs=EPOCHS, seed=seed))
    curve = {f"accuracy_{result.epoch}": round(result.accuracy, 4) for result in results}
    names = {"digest": arch.digest, "seed": seed, "arch": str(arch)}
    return names | {"params": cost.params, "macs": cost.macs} | latency(arch) | curve


def main(path: Path = TABLE) -> None:
    """Append the rows that are missing."""
    torch.set_num_threads(1)
    done = set()
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            done = {(line["digest"], line["seed"]) for line in csv.DictReader(file)}
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not done:
            writer.writeheader()
        for arch, seed in trainings():
            if (arch.digest, str(seed)) not in done:
                writer.writerow(row(arch, seed))
                file.flush()
                os.fsync(file.fileno())


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
