"""Filling the cache: it goes on where it stopped, past what the runtime refuses or dies of."""

from __future__ import annotations

import logging
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from evaluators import latency_model, warming
from evaluators.child import Child, ChildDied
from evaluators.latency import Latency
from evaluators.latency_cache import LatencyCache, Timing
from evaluators.latency_model import LatencyModel, parts_of
from evaluators.pairs import Reading
from evaluators.part_latency import part_key
from evaluators.target import parse_target
from evaluators.warming import warm
from search_spaces.errors import CandidateError
from search_spaces.heads import Head
from search_spaces.plugins import read_plugin
from tests.evaluators.test_latency_model import SPACE, TASK, guess

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from search_spaces.arch import Part

T = TypeVar("T")


class Here:
    """A caller that calls in this process."""

    def __init__(self) -> None:
        self.calls = 0

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        self.calls += 1
        return function(*arguments)


@pytest.fixture
def latency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Latency:
    monkeypatch.setattr("evaluators.reference.ROUNDS", 4)
    monkeypatch.setattr(latency_model, "SAMPLES", 1000)
    return Latency(seconds=0.2, cache=tmp_path / "latency.sqlite")


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the parts that were measured, each in no time."""
    found: list[str] = []

    def measure(part: Part, cache: LatencyCache, _: object) -> Timing:
        if known := cache.get(part_key(part)):
            return known
        found.append(part_key(part))
        cache.put(part_key(part), Timing(*[guess(part)] * 3))
        return Timing(*[guess(part)] * 3)

    reading = Reading(2.0, 1.9, 2.1, 10, 100, 0, False, 0.0, 0.0)
    monkeypatch.setattr("evaluators.latency.read", lambda *_, **__: reading)
    monkeypatch.setattr(latency_model, "measured_part", measure)
    return found


def test_warming_goes_on_where_it_stopped(
    latency: Latency, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warming, "TURN_SECONDS", 0.0)
    steps = warm(LatencyModel(latency, TASK), SPACE, Here(), networks=5)
    for step in steps:
        if step.kind == "parts" and step.done == 3:
            break
    steps.close()  # type: ignore[attr-defined]
    assert len(measured) == 3
    last = list(warm(LatencyModel(latency, TASK), SPACE, Here(), networks=5))[-1]
    assert last.kind == "parts"
    assert last.done == last.total == len(measured) == len(set(measured))


def test_a_short_time_gives_the_parts_of_the_first_networks(
    latency: Latency, measured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warming, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(warming, "FEWEST", 3)
    kinds = [step.kind for step in warm(LatencyModel(latency, TASK), SPACE, Here(), networks=9)]
    assert kinds[:3] == ["networks"] * 3
    after = kinds.index("networks", 3)
    assert set(kinds[3:after]) == {"parts"}
    rng = Random(0)
    firsts = [SPACE.sample(rng) for _ in range(3)]
    keys = {part_key(part) for arch in firsts for part in arch.parts(TASK)}
    assert set(measured[: after - 3]) == keys


@pytest.mark.parametrize("error", [CandidateError("refused"), ChildDied("the process died")])
def test_a_fault_of_one_part_costs_no_other(
    error: Exception,
    latency: Latency,
    measured: list[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    parts = [part_key(part) for part in parts_of(SPACE, TASK)]
    usual = latency_model.measured_part

    def measure(part: Part, cache: LatencyCache, reference: Any) -> Timing:
        if part_key(part) in (parts[3], parts[7]):
            raise error
        return usual(part, cache, reference)

    monkeypatch.setattr(latency_model, "measured_part", measure)
    child = Here()
    with caplog.at_level(logging.WARNING):
        last = list(warm(LatencyModel(latency, TASK), SPACE, child, networks=5))[-1]
    assert last.done == last.total == len(parts)
    assert sorted(measured) == sorted(set(parts) - {parts[3], parts[7]})
    named = [key for key in parts if key in caplog.text]
    assert named == ([parts[3], parts[7]] if isinstance(error, ChildDied) else [])
    assert child.calls < 8  # not once for each part


CRASHING = """
import os, signal
from contextlib import contextmanager
from dataclasses import dataclass
from evaluators.target import TARGETS, Target

@TARGETS.register("crashing")
@dataclass(frozen=True)
class Crashing(Target):
    @contextmanager
    def load(self, model, *examples):
        if b"Gemm" in model and b"Conv" not in model and examples[0].shape[1] == 16:
            os.kill(os.getpid(), signal.SIGSEGV)
        yield lambda calls: 1.0
"""


@pytest.mark.slow
def test_a_runtime_that_crashes_leaves_out_what_it_crashes_on(
    latency: Latency, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "crashing.py").write_text(CRASHING)
    read_plugin(tmp_path / "crashing.py").load()
    target, child = Latency("crashing", seconds=0.1, cache=latency.cache), Child()
    with caplog.at_level(logging.WARNING):
        last = list(warm(LatencyModel(target, TASK), SPACE, child, networks=3))[-1]
    child.end()
    parts = parts_of(SPACE, TASK)
    bad = [part for part in parts if part.spec == Head() and part.site.c_in == 16]
    assert len(bad) == 1
    assert last.done == last.total == len(parts)
    assert caplog.text.count("the process died (signal SIGSEGV)") == len(bad)
    stored = LatencyCache(parse_target("crashing"), latency.cache).all()
    assert {part_key(p) for p in parts} - set(stored) == {part_key(p) for p in bad}
