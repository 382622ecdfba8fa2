"""Architectures drawn and costed a second, by formula and by fvcore, in the same run on one core.

python benchmarks/draw_and_cost.py [--seconds 10] [--space small]
"""

from __future__ import annotations

import argparse
import random
import warnings
from time import perf_counter
from typing import TYPE_CHECKING

import torch
from fvcore.nn import FlopCountAnalysis, parameter_count

from search_spaces.arch import Task
from search_spaces.network import build
from search_spaces.spaces import SPACES

if TYPE_CHECKING:
    from collections.abc import Callable

TASKS = {"small": Task(10, (1, 28, 28)), "mobile": Task(1000, (3, 224, 224))}


def rate(step: Callable[[], None], seconds: float) -> float:
    """Return how often `step` runs a second."""
    start, count = perf_counter(), 0
    while perf_counter() - start < seconds:
        step()
        count += 1
    return count / (perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--space", choices=sorted(TASKS), default="small")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # fvcore traces with TorchScript
    space, task = SPACES[arguments.space], TASKS[arguments.space]
    rng, example = random.Random(0), torch.zeros(1, *task.shape)

    def by_formula() -> None:
        space.sample(rng).cost(task)

    def by_fvcore() -> None:
        network = build(space.sample(rng), task).eval()
        analysis = FlopCountAnalysis(network, example)
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()
        parameter_count(network)

    ours, theirs = rate(by_formula, arguments.seconds), rate(by_fvcore, arguments.seconds)
    print(f"space {space.name}, {task}")
    print(f"by formula  {ours:10,.0f} architectures/s")
    print(f"by fvcore   {theirs:10,.1f} architectures/s")
    print(f"ratio       {ours / theirs:10,.0f}")


if __name__ == "__main__":
    main()
