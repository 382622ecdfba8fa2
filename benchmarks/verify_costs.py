"""Params and MACs of random whole architectures, by formula against the built network and fvcore.

    python -m benchmarks.verify_costs --count 10000 [--space small] [--seed 0]

fvcore traces every network once on the CPU, a few a second; the exit code is 1 at any difference.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
from time import perf_counter

import torch

from search_spaces.arch import Arch, Task
from search_spaces.network import build
from search_spaces.spaces import SPACES
from search_spaces.testing import count_macs

TASKS = {"small": Task(10, (1, 28, 28)), "mobile": Task(1000, (3, 64, 64))}


def difference(arch: Arch, task: Task) -> str | None:
    """Return what differs between our counts and the network's, or None."""
    network, cost = build(arch, task).eval(), arch.cost(task)
    params = sum(parameter.numel() for parameter in network.parameters())
    if params != cost.params:
        return f"params: {cost.params:,} by formula, {params:,} in the network"
    macs = count_macs(network, torch.zeros(1, *task.shape))
    return None if macs == cost.macs else f"macs: {cost.macs:,} by formula, {macs:,} by fvcore"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--space", choices=sorted(TASKS), default="small")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    space, rng, wrong, start = (
        SPACES[arguments.space],
        random.Random(arguments.seed),
        0,
        perf_counter(),
    )
    for number in range(1, arguments.count + 1):
        arch = space.sample(rng)
        found = difference(arch, TASKS[arguments.space])
        if found:
            wrong += 1
            print(f"{arch.digest} {found}\n  {arch}")
        if number % 500 == 0 or number == arguments.count:
            print(
                f"{number:,} architectures, {wrong} differ, {perf_counter() - start:,.0f} s",
                flush=True,
            )
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
