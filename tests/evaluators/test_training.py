from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from evaluators.data import Split
from evaluators.recipe import Recipe
from evaluators.training import evaluate, train, train_until_settled
from search_spaces.arch import Arch
from search_spaces.errors import CandidateError
from search_spaces.network import build
from tests.evaluators.toy import ARCH, IMAGES, RECIPE, TASK, fingerprint, toy_images, toy_network


def test_learns_what_can_be_learned() -> None:
    network = toy_network()
    results = list(train(network, IMAGES, replace(RECIPE, epochs=8)))
    assert [result.epoch for result in results] == list(range(1, 9))
    assert results[-1].loss < 0.6 * results[0].loss
    assert results[-1].accuracy >= 0.98
    assert evaluate(network, IMAGES.test, IMAGES) >= 0.98
    assert results[-1].images_per_s > 0
    assert results[-1].seconds > 0


def test_overfits_labels_that_mean_nothing() -> None:
    split = Split(IMAGES.train.images[:32], torch.arange(32) % 2)
    images = replace(IMAGES, train=split, val=split)
    plain = Recipe(epochs=60, batch=32, lr=0.2, crop=0, flip=False, weight_decay=0)
    arch = Arch.from_text(str(ARCH).replace("dropout=0.1", "width=64,dropout=0"))
    *_, last = train(build(arch, TASK), images, plain)
    assert last.accuracy == 1


def test_network_holds_the_averaged_weights_in_evaluation_mode_after_every_epoch() -> None:
    network = toy_network()
    for result in train(network, IMAGES, RECIPE):
        assert not network.training
        assert evaluate(network, IMAGES.val, IMAGES) == result.accuracy
        if result.epoch == 2:
            break


def test_more_images_than_a_multiple_of_the_batch_and_fewer_than_a_batch() -> None:
    for n_train in (65, 20):
        *_, last = train(toy_network(), toy_images(n_train), RECIPE)
        assert math.isfinite(last.loss)


def test_same_seed_same_result_in_another_process() -> None:
    list(train(network := toy_network(), IMAGES, RECIPE))
    here = fingerprint(network)
    code = (
        "from tests.evaluators.toy import *\n"
        "from evaluators.training import train\n"
        "list(train(network := toy_network(), IMAGES, RECIPE))\n"
        "print(repr(fingerprint(network)))"
    )
    root = Path(__file__).parents[2]
    run = [sys.executable, "-c", code]
    there = subprocess.run(run, cwd=root, capture_output=True, text=True, check=True)
    assert float(there.stdout) == here


def test_another_seed_gives_another_result() -> None:
    prints = set()
    for seed in (0, 1):
        network = toy_network()
        list(train(network, IMAGES, replace(RECIPE, epochs=1, seed=seed)))
        prints.add(fingerprint(network))
    assert len(prints) == 2


def test_the_callers_randomness_is_neither_used_nor_changed() -> None:
    prints = set()
    for caller in (1, 2):
        torch.manual_seed(caller)
        before = torch.get_rng_state()
        list(train(network := toy_network(), IMAGES, replace(RECIPE, epochs=1)))
        assert torch.equal(before, torch.get_rng_state())
        prints.add(fingerprint(network))
    assert len(prints) == 1


def test_divergence_is_the_candidates_failure() -> None:
    with pytest.raises(CandidateError, match=r"diverged in epoch \d: the loss is .*lower `lr`"):
        list(train(toy_network(), IMAGES, replace(RECIPE, lr=1e30, momentum=0)))


def test_settles_in_the_second_half_and_keeps_the_best_epoch() -> None:
    recipe = replace(RECIPE, epochs=40)
    network = toy_network()
    results = list(train_until_settled(network, IMAGES, recipe, patience=2))
    best = max(results, key=lambda result: result.accuracy)  # the first of equals
    assert 40 * 1.1 / 2 < len(results) < 40
    assert len(results) - best.epoch >= 2
    assert evaluate(network, IMAGES.val, IMAGES) == best.accuracy


def test_a_settled_checkpoint_stays_settled(tmp_path: Path) -> None:
    path, recipe = tmp_path / "toy.ckpt", replace(RECIPE, epochs=30)
    first, second = toy_network(), toy_network(5)
    shown = list(train_until_settled(first, IMAGES, recipe, patience=1, checkpoint=path))
    assert len(shown) < 30
    assert not list(train_until_settled(second, IMAGES, recipe, patience=1, checkpoint=path))
    assert fingerprint(first) == fingerprint(second)


def test_does_not_settle_early_with_patience() -> None:
    assert len(list(train_until_settled(toy_network(), IMAGES, RECIPE, patience=5))) == 3
