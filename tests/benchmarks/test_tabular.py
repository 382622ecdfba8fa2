"""The committed table is of the space it says, and searches on it can be replayed.

The modules are imported within the tests, for they register a block.
"""

import csv
import json
from collections import Counter

import numpy as np
import pytest
import torch

from search_spaces.arch import Arch
from search_spaces.block import Site


@pytest.fixture(scope="module")
def lines():
    from benchmarks.tabular.make import TABLE

    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_architecture_of_the_space_is_trained_and_a_third_twice(lines):
    from benchmarks.tabular.make import trainings

    expected = {(arch.digest, str(seed)) for arch, seed in trainings()}
    assert {(line["digest"], line["seed"]) for line in lines} == expected
    assert Counter(line["seed"] for line in lines) == {"0": 294, "1": 98}


def test_costs_are_those_of_the_architectures(lines):
    from benchmarks.tabular.space import TASK

    for line in lines[::20]:
        arch = Arch.from_text(line["arch"])
        cost = arch.cost(TASK)
        assert arch.digest == line["digest"]
        assert (cost.params, cost.macs) == (int(line["params"]), int(line["macs"]))


@pytest.mark.parametrize("searcher", ["auto", "plain-tpe", "deepest", "ridge"])
@pytest.mark.parametrize("signal", ["exact", "one run"])
def test_regret_falls(searcher, signal):
    from benchmarks.search_quality import Run, curve

    regret = curve(Run("trained", searcher, signal, seed=0))
    assert len(regret) == 100
    assert min(regret) >= 0
    if signal == "exact":
        assert regret == sorted(regret, reverse=True)


def test_no_search_queries_an_architecture_twice():
    from benchmarks.search_quality import Run, digests
    from benchmarks.tabular.problems import table

    for searcher in ("plain-tpe", "ridge"):
        assert len(set(digests(Run("trained", searcher, "exact", 0), table("trained"), 60))) == 60


@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "none"])
def test_a_search_by_epochs_ends_with_one_of_the_best_trainings(scheduler):
    from benchmarks.schedulers import Run, regrets

    whole = regrets(Run("random", scheduler, seed=0), epochs=900)
    assert (len(whole) == 3 * 294) == (scheduler == "none")
    assert len(whole) >= 294 + 2 * 294 // 3  # a third is trained to the end, at least
    assert np.isnan(whole[0]) == (scheduler == "none")  # it trains three epochs first
    assert 0 <= whole[-1] < 1
    again = regrets(Run("random", scheduler, seed=0), epochs=60)
    assert np.array_equal(again, whole[:60], equal_nan=True)


def test_all_searches_end_on_the_front_of_the_table():
    from benchmarks.search_quality import Run, curve

    volume = curve(Run("trained", "auto", "front", seed=0))
    assert np.diff(volume).min() > -1e-9
    assert 0.99 < volume[-1] <= 1


@pytest.mark.parametrize("site", [Site(8, 8), Site(8, 12, 2, (7, 9)), Site(12, 8, 1, (5, 5))])
def test_the_empty_block_has_the_shape_of_its_site(site):
    from benchmarks.tabular.problems import Identity

    module = Identity().build(site)
    assert module(torch.rand(2, site.c_in, *site.hw)).shape == (2, site.c_out, *site.hw_out)
    assert not list(module.parameters())


def kinds_of(space, digest):
    from search_spaces.block import kind_of

    (arch,) = (arch for arch in space.enumerate() if arch.digest == digest)
    return [kind_of(type(stage.blocks[0])) for stage in arch.stages]


def test_published_macro_networks_are_read(tmp_path):
    from benchmarks.tabular.problems import table
    from benchmarks.tabular.published import MACRO

    path = tmp_path / "macro.json"
    runs = [90.0, 91.0, 92.5]
    known = {"test_acc": runs, "mean_acc": 91.2, "std": 1.0, "params": 5, "flops": 2_000_000}
    path.write_text(json.dumps({"01200000": known}))
    read = table(f"macro:{path}")
    ((digest, figures),) = read.truth.items()
    assert kinds_of(MACRO, digest) == ["identity", "csc", "mbconv"] + ["identity"] * 5
    assert figures == (91.2, 2.0)
    signals = [read.signals(seed)[digest] for seed in range(20)]
    assert set(signals) == set(runs)
    assert signals == [read.signals(seed)[digest] for seed in range(20)]


def test_published_cells_are_read(tmp_path):
    from benchmarks.tabular.problems import CELL, table

    path = tmp_path / "cells.csv"
    cell = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"
    path.write_text(f"cell,signal,accuracy\n{cell},80.5,90.5\n")
    read = table(f"cells:{path}")
    ((digest, figures),) = read.truth.items()
    kinds = ["mbconv", "identity", "shufflev2", "active_shift", "csc", "identity"]
    assert kinds_of(CELL, digest) == kinds
    assert figures == (90.5, 2.25)
    assert read.signals(0) == {digest: 80.5}
