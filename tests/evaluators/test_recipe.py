from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from evaluators.recipe import Recipe, epochs_within, steps_per_epoch
from search_spaces.errors import SpecError
from tests.evaluators.toy import RECIPE


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch", 1),
        ("seed", 1 << 32),
        ("lr", 0.0),
        ("lr", math.inf),
        ("momentum", 1.0),
        ("crop", -1),
        ("weight_decay", -1.0),
        ("shift_penalty", -1.0),
        ("shift_penalty", math.nan),
        ("clip", -1.0),
        ("clip", math.nan),
        ("shift_norm", "l3"),
    ],
)
def test_recipe_refuses_what_cannot_work(field: str, value: float | str) -> None:
    with pytest.raises(SpecError, match=rf"`{field}` \(={value!r}\) must"):
        replace(RECIPE, **dict[str, Any]({field: value}))


def test_learning_rate_in_closed_form() -> None:
    recipe = Recipe(lr=0.4, batch=64, warmup=0.1)
    rates = [recipe.lr_at(step, 100) for step in range(100)]
    assert recipe.peak_lr == 0.2
    assert rates[0] == pytest.approx(0.02)
    assert rates[9] == 0.2 == max(rates)
    assert rates[54] == pytest.approx(0.1 * (1 + math.cos(math.pi * 45 / 91)))
    assert rates[99] == pytest.approx(0.1 * (1 + math.cos(math.pi * 90 / 91)))
    assert 0 < rates[99] < 0.001
    assert rates[9:] == sorted(rates[9:], reverse=True)


def test_a_single_step_learns_without_warm_up() -> None:
    assert Recipe(warmup=0).lr_at(0, 1) > 0
    assert Recipe().lr_at(0, 1) > 0


def test_average_warms_up() -> None:
    recipe = Recipe(ema_decay=0.99)
    assert recipe.ema_decay_at(0) == 0.1
    assert recipe.ema_decay_at(90) == 0.91
    assert recipe.ema_decay_at(10_000) == 0.99


def test_epochs_within_a_time() -> None:
    assert epochs_within(60, 1_000, 10_000) == 6
    assert epochs_within(1, 1_000, 10_000) == 1


def test_batches_are_balanced() -> None:
    assert steps_per_epoch(250, 32) == 8
    assert {len(batch) for batch in torch.arange(250).tensor_split(8)} == {31, 32}
