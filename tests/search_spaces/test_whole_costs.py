"""Whole random architectures: our formulas against the built network and against fvcore.

`python -m benchmarks.verify_costs --count 10000` does the same for as many as one has time for.
"""

import random

import pytest

from benchmarks.verify_costs import TASKS, difference
from search_spaces.spaces import SPACES


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", ["small", "mobile"])
def test_costs_of_random_architectures(name, seed):
    arch = SPACES[name].sample(random.Random(seed))
    assert difference(arch, TASKS[name]) is None


def test_a_wrong_count_is_noticed(monkeypatch):
    from search_spaces.cost import Cost
    from search_spaces.heads import Tail

    arch = next(
        arch
        for seed in range(1000)
        for arch in [SPACES["small"].sample(random.Random(seed))]
        if arch.stages[-1].blocks[-1].preactivated
    )
    monkeypatch.setattr(Tail, "cost", lambda *_: Cost(params=1))
    monkeypatch.setattr("search_spaces.arch._part_cost", lambda spec, site: spec.cost(site))
    assert "params" in difference(arch, TASKS["small"])
