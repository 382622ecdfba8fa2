"""Draws within a budget by construction against draw-and-fit: speed, and what the draws are like.

python benchmarks/within_budget.py [--space small] [--params 50000] [--draws 2000]
"""

from __future__ import annotations

import argparse
import random
from statistics import mean, pstdev
from time import perf_counter
from typing import TYPE_CHECKING

from search_spaces.arch import Task
from search_spaces.budget import Budget, fit
from search_spaces.errors import BudgetError
from search_spaces.spaces import SPACES
from search_spaces.subspace import Subspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from search_spaces.arch import Arch
    from search_spaces.space import Space

TASKS = {"small": Task(10, (1, 28, 28)), "mobile": Task(1000, (3, 224, 224))}
PARAMS = {"small": (20_000, 50_000, 150_000), "mobile": (500_000, 1_500_000, 3_600_000)}


def timed(draw: Callable[[], Arch], draws: int) -> tuple[list[Arch], float]:
    """Return the architectures and how many were drawn a second."""
    start = perf_counter()
    archs = [draw() for _ in range(draws)]
    return archs, draws / (perf_counter() - start)


def describe(name: str, space: Space, task: Task, limit: int, archs: list[Arch]) -> str:
    """Return a line about `archs`: distinct, budget used, on its border, depth, of the space."""
    used = [arch.cost(task).params / limit for arch in archs]
    depths = [sum(len(stage.blocks) for stage in arch.stages) for arch in archs]
    widths = [{s.width for s in stage} for stage in zip(*(a.stages for a in archs), strict=True)]
    known = all(
        set(found) <= set(stage.width) for found, stage in zip(widths, space.stages, strict=True)
    )
    border = mean(share > 0.97 for share in used)
    return (
        f"  {name:16}{len(set(archs)) / len(archs):9.3f}{mean(used):9.2f}{pstdev(used):7.2f}"
        f"{border:9.2f}{mean(depths):8.1f}{pstdev(depths):6.1f}   {'yes' if known else 'no'}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", choices=sorted(TASKS), default="small")
    parser.add_argument("--params", type=int, action="append")
    parser.add_argument("--draws", type=int, default=2000)
    arguments = parser.parse_args()
    space, task = SPACES[arguments.space], TASKS[arguments.space]
    for params in arguments.params or PARAMS[space.name]:
        compare(space, task, Budget(params=params), params, arguments.draws)


def compare(space: Space, task: Task, budget: Budget, params: int, draws: int) -> None:
    """Print how the two ways do under one budget."""
    start = perf_counter()
    subspace = Subspace(space, task, budget)
    subspace.size()  # fills the table
    ready = perf_counter() - start
    print(f"{space.name}, at most {params:,} params: {subspace.size():.4g} of {space.size():.4g}")
    rng, failed = random.Random(0), 0

    def narrowed() -> Arch:
        nonlocal failed
        while True:
            try:
                return fit(space.sample(rng), budget, task)
            except BudgetError:
                failed += 1

    ways: dict[str, Callable[[], Arch]] = {
        "draw and fit": narrowed,
        "draw and repair": lambda: subspace.repair(space.sample(rng), rng),
        "uniform archs": lambda: subspace.sample(rng),
        "uniform genes": lambda: subspace.sample(rng, uniform="gene"),
    }
    print(
        "                  distinct  used: mean, sd  border  depth: mean, sd  widths of the space"
    )
    rates = {}
    for name, draw in ways.items():
        draw()  # prepare
        archs, rates[name] = timed(draw, draws)
        print(describe(name, space, task, params, archs))
    ratio = rates["uniform archs"] / rates["draw and fit"]
    speeds = ", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())
    print(f"  prepared in {ready:.2f} s; a second: {speeds}; ratio {ratio:.2f}")
    print(f"  draws that cannot be narrowed: {failed} of {failed + draws}\n")


if __name__ == "__main__":
    main()
