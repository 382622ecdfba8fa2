"""Latency: disturbances do not count, doubts are told, bad candidates are named."""

from __future__ import annotations

import logging
import pickle
from typing import TYPE_CHECKING

import pytest
import torch

from evaluators.cores import cores
from evaluators.evaluator import EVALUATORS
from evaluators.latency import Latency
from evaluators.latency_model import LatencyModel
from evaluators.pairs import Reading
from evaluators.reference import REFERENCE
from evaluators.remembered_latency import RememberedLatency
from search_spaces.arch import Arch, Stage, Task
from search_spaces.block import BLOCKS
from search_spaces.errors import CandidateError, SpecError, UnknownName
from search_spaces.heads import Head
from search_spaces.stems import Stem

if TYPE_CHECKING:
    from pathlib import Path

TASK = Task(5, (1, 28, 28))
TINY = Arch(Stem(8), (), Head())


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluators.reference.ROUNDS", 4)


@pytest.mark.parametrize("target", ["cpu", "cpu-int8", "cpu-torch"])
def test_a_target_measures_and_leaves_the_process_as_it_was(target: str, tmp_path: Path) -> None:
    usual, threads = cores(), torch.get_num_threads()
    evaluator = Latency(target, seconds=0.2, cache=tmp_path / "latency.sqlite")
    (report,) = evaluator(TINY, TASK)
    assert report.step == 1
    metrics = report.metrics
    assert 0 < metrics["latency_low_ms"] <= metrics["latency_ms"] <= metrics["latency_high_ms"]
    reference = evaluator.reference().ms
    assert metrics["latency_ms"] == pytest.approx(metrics["latency_ratio"] * reference)
    assert metrics["latency_runs"] >= 1
    assert metrics["latency_flagged"] in (0, 1)
    assert (cores(), torch.get_num_threads()) == (usual, threads)


def test_what_is_remembered_is_measured_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    latency = RememberedLatency(seconds=0.2, cache=tmp_path / "latency.sqlite")
    (first,) = latency(TINY, TASK)
    monkeypatch.setattr("evaluators.latency.read", None)
    assert list(latency(TINY, TASK)) == [first]
    assert first.metrics["latency_low_ms"] <= first.metrics["latency_ms"]
    wider = RememberedLatency(tolerance=1e-9, cache=latency.cache)
    assert next(wider(TINY, TASK)).metrics["latency_flagged"] == 1
    assert not LatencyModel(latency, TASK).networks  # predictions know nothing of it


def test_the_reference_never_changes() -> None:
    """Its ratios are kept in files: another one would give them another meaning."""
    assert REFERENCE.digest == "b0de3a6163d2"


def test_the_reference_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = Latency(cache=tmp_path / "latency.sqlite")
    first = evaluator.reference()
    monkeypatch.setattr("evaluators.reference.measuring", None)
    assert evaluator.reference() == first
    assert first.low_ms <= first.ms <= first.high_ms


def test_doubt_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    doubtful = Reading(2.0, 1.0, 3.0, 5, 50, 0, True, 0.1, 0.2)
    monkeypatch.setattr("evaluators.latency.read", lambda *_, **__: doubtful)
    with caplog.at_level(logging.INFO):
        (report,) = Latency(cache=tmp_path / "latency.sqlite")(TINY, TASK)
    assert report.metrics["latency_flagged"] == 1
    assert TINY.digest in caplog.text
    assert "noisy machine" in caplog.text


def test_a_refused_network_is_a_candidates_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise torch.onnx.OnnxExporterError("no such operator")

    Latency().reference()  # has its graph already
    monkeypatch.setattr("evaluators.onnx_tracer.WRITERS", {})  # so the exporter is asked
    monkeypatch.setattr("torch.onnx.export", refuse)
    with pytest.raises(CandidateError, match=f"{TINY.digest}: cpu: no ONNX graph: no such op"):
        next(Latency()(TINY, TASK))


def test_a_bug_is_not_a_candidates_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("evaluators.latency.read", broken)
    with pytest.raises(ZeroDivisionError):
        next(Latency()(TINY, TASK))


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
def test_measurements_agree_and_a_larger_network_takes_longer(tmp_path: Path) -> None:
    block = BLOCKS["mbconv"]()
    small, large = (Arch(Stem(16), (Stage(16, 1, (block,) * count),), Head()) for count in (1, 8))
    evaluator = Latency(cache=tmp_path / "latency.sqlite")
    first, second, third = (next(evaluator(a, TASK)).metrics for a in (small, small, large))
    # how well they agree is for benchmarks/latency_repeat.py: a busy machine is no bug
    assert first["latency_ms"] == pytest.approx(second["latency_ms"], rel=0.25)
    assert third["latency_ms"] > 2 * first["latency_ms"]
