"""Latency: disturbances do not count, doubts are told, bad candidates are named."""

from __future__ import annotations

import logging
import pickle
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import pytest
import torch

from evaluators import latency
from evaluators.cores import cores
from evaluators.evaluator import EVALUATORS
from evaluators.latency import Latency
from evaluators.target import TARGETS, GraphError, Target
from search_spaces.arch import Arch, Stage, Task
from search_spaces.block import BLOCKS
from search_spaces.errors import CandidateError, SpecError, UnknownName
from search_spaces.heads import Head
from search_spaces.stems import Stem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

TASK = Task(5, (1, 28, 28))
TINY = Arch(Stem(8), (), Head())


class Machine:
    """A clock that only a network's steps and sleep advance."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.now, self.steps, self.seconds = 0.0, 0, seconds

    def step(self) -> None:
        self.steps += 1
        self.now += self.seconds()

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def measure(
    monkeypatch: pytest.MonkeyPatch, step: Callable[[], float], seconds: float = 1.0
) -> tuple[dict[str, float], Machine]:
    """Let `Latency` measure a network whose steps take `step()`, one after the other."""
    machine = Machine(step)

    @dataclass(frozen=True)
    class Simulated(Target):
        @contextmanager
        def prepare(self, network: nn.Module, example: Tensor) -> Iterator[Callable[[], None]]:
            yield machine.step

        @property
        def clock(self) -> Callable[[], float]:
            return lambda: machine.now

    monkeypatch.setattr(latency, "perf_counter", lambda: machine.now)
    monkeypatch.setattr(latency, "sleep", machine.sleep)
    monkeypatch.setattr(latency, "measuring", nullcontext)
    monkeypatch.setattr(latency, "parse_target", lambda _: Simulated())
    (report,) = Latency(seconds=seconds)(TINY, TASK)
    assert report.step == 1
    return dict(report.metrics), machine


def test_a_steady_network_takes_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, machine = measure(monkeypatch, lambda: 0.003)
    assert metrics["latency_ms"] == pytest.approx(3.0)
    assert metrics["latency_spread_ms"] == pytest.approx(0.0, abs=1e-9)
    assert metrics["runs"] == latency.ROUNDS
    assert machine.now < 1.0


@pytest.mark.parametrize("busy", [0.1, 0.3, 0.5])
def test_disturbances_do_not_count(monkeypatch: pytest.MonkeyPatch, busy: float) -> None:
    rng = Random(0)

    def seconds() -> float:
        waiting = rng.expovariate(1 / 0.004) if rng.random() < busy else 0.0
        return 0.0004 * rng.uniform(1, 1.02) + waiting

    metrics, _ = measure(monkeypatch, seconds)
    assert metrics["latency_ms"] == pytest.approx(0.404, rel=0.01)
    assert metrics["latency_low_ms"] <= metrics["latency_ms"] <= metrics["latency_high_ms"]


def test_what_is_too_short_for_the_clock_is_timed_by_the_dozen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metrics, _ = measure(monkeypatch, lambda: 20e-6)
    assert metrics["latency_ms"] == pytest.approx(0.02)
    assert metrics["runs"] == latency.ROUNDS * 5 * 10


def test_doubt_is_told_and_has_an_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rng = Random(0)
    with caplog.at_level(logging.INFO):
        metrics, machine = measure(monkeypatch, lambda: rng.uniform(0.001, 0.1), seconds=0.5)
    low, high = metrics["latency_low_ms"], metrics["latency_high_ms"]
    assert high - low > 0.02 * low
    assert metrics["latency_spread_ms"] == pytest.approx((high - low) / 2)
    assert machine.now < 2.0
    assert TINY.digest in caplog.text
    assert "noisy machine" in caplog.text


def test_a_slow_network_gets_enough_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics, _ = measure(monkeypatch, lambda: 1.0)
    assert metrics["runs"] == latency.QUIET


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_measures_and_leaves_the_process_as_it_was(target: str) -> None:
    usual, threads = cores(), torch.get_num_threads()
    (report,) = Latency(target, seconds=0.05)(TINY, TASK)
    assert set(report.metrics) == {
        "latency_ms",
        "latency_spread_ms",
        "latency_low_ms",
        "latency_high_ms",
        "runs",
    }
    assert report.metrics["latency_ms"] > 0
    assert (cores(), torch.get_num_threads()) == (usual, threads)


def test_a_refused_network_is_a_candidates_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise torch.onnx.OnnxExporterError("no such operator")

    monkeypatch.setattr("torch.onnx.export", refuse)
    with pytest.raises(CandidateError, match=f"{TINY.digest}: cpu: no ONNX graph: no such op"):
        next(Latency()(TINY, TASK))


def test_a_bug_is_not_a_candidates_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds() -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        measure(monkeypatch, seconds)
    assert issubclass(GraphError, RuntimeError)


def test_it_is_plain_data() -> None:
    evaluator = Latency("cpu-torch:batch=2", seconds=0.5)
    assert pickle.loads(pickle.dumps(evaluator)) == evaluator
    assert len({evaluator, Latency("cpu-torch:batch=2", seconds=0.5)}) == 1
    assert EVALUATORS["latency"] is Latency


@pytest.mark.parametrize("options", [{"tolerance": 0.0}, {"seconds": -1.0}])
def test_options_are_checked(options: dict[str, float]) -> None:
    with pytest.raises(SpecError, match="must be positive"):
        Latency(**options)  # type: ignore[arg-type]


def test_the_target_is_checked_at_once() -> None:
    with pytest.raises(UnknownName, match="unknown target 'gpu'"):
        Latency("gpu")


@pytest.mark.timing
def test_two_measurements_agree_and_a_larger_network_takes_longer() -> None:
    block = BLOCKS["mbconv"]()
    small, large = (Arch(Stem(16), (Stage(16, 1, (block,) * count),), Head()) for count in (1, 8))
    first, second, third = (next(Latency()(a, TASK)).metrics for a in (small, small, large))
    assert first["latency_ms"] == pytest.approx(second["latency_ms"], rel=0.1)
    assert third["latency_ms"] > 2 * first["latency_ms"]
