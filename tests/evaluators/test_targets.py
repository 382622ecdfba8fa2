"""Targets: their text, their checks, and that they leave the process as it was."""

from __future__ import annotations

import pickle
import re
import sys
import time

import pytest
import torch

from evaluators.cores import cores, pinned
from evaluators.runtimes import GraphError, TargetUnavailable
from evaluators.target import Target, parse_target
from evaluators.targets.cpu import Cpu, session
from evaluators.targets.cpu_torch import CpuTorch
from evaluators.testing import SHAPE, network
from search_spaces.errors import SpecError, UnknownName


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("cpu", Cpu()),
        ("cpu:batch=4", Cpu(batch=4)),
        ("cpu-torch:batch=2", CpuTorch(batch=2)),
    ],
)
def test_text_and_target_are_the_same(text: str, target: Target) -> None:
    assert parse_target(text) == target
    assert str(target) == text
    assert pickle.loads(pickle.dumps(target)) == target


def test_text_is_canonical() -> None:
    assert str(parse_target("cpu:batch=3,threads=1")) == "cpu:batch=3"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cpu:thread=2", "option 'thread' is unknown; cpu has: threads, batch"),
        ("cpu:batch=2,batch=3", "option 'batch' is given twice"),
        ("cpu:batch=two", r"`batch` \(='two'\) must be of type int"),
        ("cpu:batch", r"`batch` \(=''\) must be of type int"),
        ("cpu:batch=0", r"'cpu:batch=0': `batch` \(=0\) must be at least 1"),
        ("cpu:threads=9999", r"`threads` \(=9999\) must be at most \d+"),
    ],
)
def test_a_fault_is_named(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_target(text)


def test_an_unknown_target_gets_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="unknown target 'cpu-troch'; did you mean 'cpu-torch'"):
        parse_target("cpu-troch:threads=1")


@pytest.mark.skipif(sys.platform == "win32", reason="counts a thread's time in sixty-fourths")
def test_one_thread_is_timed_by_its_own_clock_and_pinned() -> None:
    assert Cpu().timer(lambda: time.sleep(0.05))(1) < 40
    assert Cpu().pins
    if len(cores()) > 1:
        assert Cpu(threads=2).timer(lambda: time.sleep(0.05))(1) >= 50
        assert not Cpu(threads=2).pins


def test_the_runtime_has_a_version() -> None:
    assert re.fullmatch(r"onnxruntime \d+\.\d+.*", Cpu().runtime)


@pytest.mark.parametrize("module", ["onnx", "onnxruntime"])
def test_a_missing_runtime_is_named(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with (
        pytest.raises(TargetUnavailable, match=f"pip install {module}$"),
        Cpu().load(Cpu().export(network(), SHAPE), torch.rand(1, *SHAPE)),
    ):
        pass


def test_a_refused_graph_is_no_crash() -> None:
    with pytest.raises(GraphError, match="ONNX Runtime refuses the graph"):
        session(b"not a graph")


@pytest.mark.skipif(not hasattr(__import__("os"), "sched_setaffinity"), reason="Linux only")
def test_pinning_ends() -> None:
    usual = cores()
    with pinned(usual[-1]):
        assert cores() == usual[-1:]
    assert cores() == usual
