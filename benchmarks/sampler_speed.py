"""How long a proposal takes after 100 and after 1,000 finished trials, and how many of TPE's.

    python -m benchmarks.sampler_speed [NAME ...]

Space `small`, two objectives, one thread; median of 21 proposals, and the slowest.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import torch

from evaluators.evaluator import Metric
from nas.samplers import SAMPLERS
from nas.study import Study
from search_spaces.arch import Task
from search_spaces.spaces import SPACES

TASK = Task(classes=10, shape=(1, 28, 28))
OBJECTIVES = (Metric("accuracy", "max"), Metric("latency_ms", "min"))
COUNTS = (100, 1_000)
PROPOSALS = 21


def study(storage: str, sampler: str) -> Study:
    return Study(SPACES["small"], TASK, OBJECTIVES, sampler=sampler, storage=storage)


def fill(found: Study, count: int) -> None:
    """Try random candidates until `count` are finished."""
    for candidate in found:
        figures = {
            "accuracy": sum(stage.width for stage in candidate.arch.stages) / 1_000,
            "latency_ms": candidate.cost.macs / 1e6,
        }
        found.tell(candidate, "complete", figures)
        if found.asked >= count:
            return


def times_ms(found: Study) -> list[float]:
    """Return how long each proposal takes; what is proposed is told to have failed."""
    found.ask()  # imports, tables of costs
    times = []
    for _ in range(PROPOSALS):
        start = perf_counter()
        candidate = found.ask()
        times.append(1e3 * (perf_counter() - start))
        found.tell(candidate, "failed", {})
    return times


def main(names: list[str]) -> None:
    torch.set_num_threads(1)
    known = [n for n in SAMPLERS if n != "gp"]  # which takes seconds, and SciPy
    print(f"{'sampler':12s}" + "".join(f"{f'after {n:,}':>24s}{'of TPE':>8s}" for n in COUNTS))
    with TemporaryDirectory() as directory:
        tables: dict[str, list[list[float]]] = {}
        for count in COUNTS:
            storage = f"sqlite:///{Path(directory) / f'{count}.db'}"
            fill(study(storage, "random"), count)
            original = Path(directory, f"{count}.db").read_bytes()
            for name in ["tpe", *(n for n in names or known if n != "tpe")]:
                tables.setdefault(name, []).append(times_ms(study(storage, name)))
                Path(directory, f"{count}.db").write_bytes(original)
    for name, found in tables.items():
        columns = []
        for times, tpe in zip(found, tables["tpe"], strict=True):
            shown = f"{median(times):.1f} ms (to {max(times):.0f})"
            columns.append(f"{shown:>24s}{median(times) / median(tpe):8.2f}")
        print(f"{name:12s}" + "".join(columns))


if __name__ == "__main__":
    main(sys.argv[1:])
