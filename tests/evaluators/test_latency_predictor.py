"""Predictions: right where the truth is what they assume, and honest about how right."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pytest

from evaluators.latency_predictor import COVERAGE, FEWEST, Sample, features, fit, kinds_of
from search_spaces.arch import Task
from search_spaces.spaces import find_space

if TYPE_CHECKING:
    from collections.abc import Callable

    from search_spaces.arch import Arch, Part

TASK = Task(10, (1, 28, 28))


def part_ms(part: Part) -> float:
    """Return a latency that any part may have: by its multiply-adds, and something for the call."""
    return 0.005 + part.cost.macs / 2e7


def truth(arch: Arch) -> float:
    """Return what a machine might take: blocks cost less beside others, some kinds more."""
    extra = sum(0.3 * part_ms(p) for p in arch.parts(TASK) if type(p.spec).__name__ == "EESP")
    return 0.9 * sum(map(part_ms, arch.parts(TASK))) + extra


@cache
def archs(count: int, seed: int = 0) -> tuple[Arch, ...]:
    rng, space = Random(seed), find_space("small")
    return tuple(space.sample(rng) for _ in range(count))


def samples(count: int, noise: Callable[[], float] = lambda: 1.0) -> list[Sample]:
    kinds = kinds_of(archs(count), TASK)
    return [Sample(features(a, TASK, part_ms, kinds), truth(a) * noise()) for a in archs(count)]


def test_what_the_correction_can_say_it_learns() -> None:
    predictor = fit(samples(100), kinds_of(archs(100), TASK))
    for arch in archs(50, seed=1):
        assert predictor(arch, TASK, part_ms).ms == pytest.approx(truth(arch), rel=0.02)


def test_features_are_sums_over_the_parts() -> None:
    (arch,) = archs(1)
    kinds = kinds_of([arch], TASK)
    total, moved, weights, *by_kind = features(arch, TASK, part_ms, kinds)
    assert total == pytest.approx(sum(map(part_ms, arch.parts(TASK))))
    assert weights == arch.cost(TASK).params
    assert moved > 0
    assert sum(by_kind[: len(kinds)]) == pytest.approx(total)
    assert sum(by_kind[len(kinds) :]) == len(list(arch.parts(TASK)))


def test_the_interval_holds_nine_in_ten() -> None:
    rng, held, count = np.random.default_rng(0), 0, 0
    for _ in range(10):
        predictor = fit(samples(100, lambda: rng.normal(1, 0.03)), kinds_of(archs(100), TASK))
        for arch in archs(100, seed=2):
            found = predictor(arch, TASK, part_ms)
            held += found.low_ms <= truth(arch) * rng.normal(1, 0.03) <= found.high_ms
            count += 1
    assert held / count == pytest.approx(COVERAGE, abs=0.03)


def test_what_it_reports_of_the_fit_was_not_seen_by_it() -> None:
    found = samples(FEWEST)
    spoilt = [*found[1:], found[0]._replace(ms=1000.0)]
    predictor = fit(spoilt, kinds_of(archs(FEWEST), TASK))
    assert predictor.predicted[-1] < 10


def test_too_few_networks_are_refused() -> None:
    with pytest.raises(ValueError, match="must be at least 40"):
        fit(samples(FEWEST)[1:], kinds_of(archs(FEWEST), TASK))
