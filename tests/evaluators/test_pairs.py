"""Timing by pairs, on a simulated machine whose only clock is what its networks take."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from random import Random
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import pytest

from evaluators import pairs
from evaluators.pairs import (
    PATIENCE,
    ROUNDS,
    Program,
    compare,
    interval,
    quick_ratio,
    read,
    warm_up,
)
from evaluators.target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Machine:
    """Networks take what `slowed` makes of their milliseconds at the machine's time in seconds."""

    def __init__(self, slowed: Callable[[float, float], float] = lambda ms, now: ms) -> None:
        self.now, self.loads, self._slowed = 0.0, 0, slowed

    def program(self, ms: float) -> Program:
        @contextmanager
        def load() -> Iterator[Callable[[int], float]]:
            self.loads += 1
            yield lambda calls: self._run(ms, calls)

        return load

    def _run(self, ms: float, calls: int) -> float:
        times = []
        for _ in range(calls):
            times.append(self._slowed(ms, self.now))
            self.now += times[-1] / 1e3
        return sum(times) / calls


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    yield from _machine(monkeypatch, Machine())


def _machine(monkeypatch: pytest.MonkeyPatch, machine: Machine) -> Iterator[Machine]:
    monkeypatch.setattr(pairs, "perf_counter", lambda: machine.now)
    monkeypatch.setattr(pairs, "measuring", nullcontext)
    yield machine


def noisy(seed: int, spread: float = 0.02) -> Callable[[float, float], float]:
    rng = Random(seed)
    return lambda ms, _: ms * rng.lognormvariate(0, spread)


def test_a_steady_machine_gives_the_ratio_itself(machine: Machine) -> None:
    reading = read(
        machine.program(3.0),
        machine.program(0.5),
        Target(),
        usual_ms=0.5,
        tolerance=0.03,
        seconds=10,
    )
    assert (reading.low, reading.ratio, reading.high) == pytest.approx((6, 6, 6))
    assert (reading.rounds, reading.runs, reading.rejected) == (ROUNDS, 9 * ROUNDS, 0)
    assert not reading.flagged


def test_each_round_loads_both_afresh(machine: Machine) -> None:
    options = {"usual_ms": 0.5, "tolerance": 0.03, "seconds": 10}
    read(machine.program(3.0), machine.program(0.5), Target(), **options)
    assert machine.loads == 2 * ROUNDS


def test_what_is_too_short_for_the_clock_is_timed_by_the_dozen(machine: Machine) -> None:
    options = {"usual_ms": 0.5, "tolerance": 0.03, "seconds": 10}
    reading = read(machine.program(0.02), machine.program(0.5), Target(), **options)
    assert reading.runs == ROUNDS * 9 * 10


@pytest.mark.parametrize("ms", [0.02, 0.15, 0.9, 1.9])
def test_caches_that_the_other_network_left_cold_do_not_count(
    ms: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    last, warmth = 0.0, 0

    def slowed(ms: float, _: float) -> float:  # a fifth more after the other one, then ever less
        nonlocal last, warmth
        last, warmth = ms, warmth + 1 if ms == last else 0
        return ms * (1 + (0.2 * 0.7**warmth if ms != 0.05 else 0))

    (machine,) = _machine(monkeypatch, Machine(slowed))
    options = {"usual_ms": 0.05, "tolerance": 0.03, "seconds": 10}
    reading = read(machine.program(ms), machine.program(0.05), Target(), **options)
    alone = 0.2 * 0.7**3 if ms > 1 else 0.01  # the third timing in a row of a long one
    assert 0.999 <= reading.ratio / (ms / 0.05) <= 1.001 + alone


@pytest.mark.parametrize("busy", [0.1, 0.3, 0.5])
def test_disturbed_runs_do_not_count(monkeypatch: pytest.MonkeyPatch, busy: float) -> None:
    rng = Random(0)

    def slowed(ms: float, _: float) -> float:
        waiting = rng.expovariate(1 / 4.0) if rng.random() < busy else 0.0
        return ms * rng.uniform(1, 1.02) + waiting

    (machine,) = _machine(monkeypatch, Machine(slowed))
    options = {"usual_ms": 2.0, "tolerance": 0.03, "seconds": 30}
    reading = read(machine.program(6.0), machine.program(2.0), Target(), **options)
    assert reading.ratio == pytest.approx(3, rel=0.02)
    assert reading.low <= reading.ratio <= reading.high


def test_what_slows_both_alike_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    (machine,) = _machine(monkeypatch, Machine(lambda ms, now: ms * (1.08 if now % 2 > 1 else 1)))
    options = {"usual_ms": 2.0, "tolerance": 0.03, "seconds": 30}
    reading = read(machine.program(6.0), machine.program(2.0), Target(), **options)
    assert reading.ratio == pytest.approx(3, rel=0.01)


def test_polluted_rounds_are_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    def slowed(ms: float, now: float) -> float:  # for a while the large one suffers more
        return ms * ((1.5 if ms < 3 else 2) if now % 1 < 0.4 else 1)

    (machine,) = _machine(monkeypatch, Machine(slowed))
    options = {"usual_ms": 2.0, "tolerance": 0.03, "seconds": 30}
    reading = read(machine.program(6.0), machine.program(2.0), Target(), **options)
    assert reading.ratio == pytest.approx(3)
    assert reading.rejected > 0
    assert not reading.flagged


def test_one_round_of_a_part_is_enough_on_a_steady_machine(machine: Machine) -> None:
    ratio = quick_ratio(machine.program(3.0), machine.program(0.5), Target(), usual_ms=0.5)
    assert ratio == pytest.approx(6)
    assert machine.loads == 2


def test_a_part_is_timed_until_the_machine_is_steady(monkeypatch: pytest.MonkeyPatch) -> None:
    def slowed(ms: float, now: float) -> float:  # at first, some turns of ours more than others
        return ms * (1.5 if ms > 1 and now % 0.03 < 0.02 and now < 0.15 else 1)

    (machine,) = _machine(monkeypatch, Machine(slowed))
    ratio = quick_ratio(machine.program(3.0), machine.program(0.5), Target(), usual_ms=0.5)
    assert ratio == pytest.approx(6)
    assert 2 < machine.loads <= 2 * PATIENCE


def test_noise_in_parts_is_averaged(monkeypatch: pytest.MonkeyPatch) -> None:
    def spread(patience: int) -> float:
        monkeypatch.setattr(pairs, "PATIENCE", patience)
        found = []
        for seed in range(60):
            (machine,) = _machine(monkeypatch, Machine(noisy(seed, 0.3)))
            ours, theirs = machine.program(3.0), machine.program(2.0)
            found.append(quick_ratio(ours, theirs, Target(), usual_ms=2.0))
        return float(np.std(found))

    assert spread(PATIENCE) < 0.8 * spread(1)


def test_doubt_is_flagged_and_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    (machine,) = _machine(monkeypatch, Machine(noisy(0, 1.0)))
    options = {"usual_ms": 1.0, "tolerance": 0.01, "seconds": 3}
    reading = read(machine.program(5.0), machine.program(1.0), Target(), **options)
    assert reading.flagged
    assert reading.high - reading.low > 0.01 * reading.ratio
    assert machine.now < 6


def test_a_machine_that_is_never_quiet_is_measured_all_the_same(machine: Machine) -> None:
    options = {"usual_ms": 0.5, "tolerance": 0.03, "seconds": 2}
    reading = read(machine.program(3.0), machine.program(1.0), Target(), **options)
    assert reading.ratio == pytest.approx(3)
    assert reading.rounds > ROUNDS


def test_a_network_does_not_differ_from_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    different = 0
    for seed in range(100):
        (machine,) = _machine(monkeypatch, Machine(noisy(seed, 0.05)))
        found = compare(machine.program(2.0), machine.program(2.0), Target(), seconds=4)
        different += found.verdict != "tie"
    assert different <= 5


@pytest.mark.parametrize(("first", "verdict"), [(2.0, "faster"), (2.1 * 1.05, "slower")])
def test_five_percent_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, first: float, verdict: str
) -> None:
    right = 0
    for seed in range(100):
        (machine,) = _machine(monkeypatch, Machine(noisy(seed, 0.05)))
        found = compare(machine.program(first), machine.program(2.1), Target(), seconds=60)
        right += found.verdict == verdict
    assert right >= 95


def test_a_comparison_without_end_is_a_tie(monkeypatch: pytest.MonkeyPatch) -> None:
    (machine,) = _machine(monkeypatch, Machine(noisy(1, 0.5)))
    found = compare(machine.program(2.0), machine.program(2.001), Target(), seconds=3)
    assert found.verdict == "tie"
    assert found.undecided


def test_warming_up_ends_when_runs_no_longer_get_faster() -> None:
    times = iter([9.0, 5.0, 4.0, 3.0, 2.99, 3.0, 3.1, 1.0])
    assert warm_up(lambda _: next(times)) == 2.99
    assert next(times) == 1.0


def test_the_interval_holds_the_median_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        low, middle, high = interval(list(rng.lognormal(0, 0.1, 15)))
        assert low <= middle <= high
        held += low <= 1 <= high
    assert 0.91 <= held / 400 <= 0.99


def test_the_interval_is_the_same_each_time() -> None:
    sample = [1.0, 1.1, 1.05, 0.9, 1.02]
    assert interval(sample) == interval(sample)
    assert interval(sample)[1] == median(sample)
