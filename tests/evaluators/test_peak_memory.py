"""Peak memory: what a model needs, counted in a process that has done nothing else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from evaluators import peak_memory as module
from evaluators.child import Child
from evaluators.peak_memory import peak_memory
from evaluators.program import Prepared
from evaluators.target import parse_target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MB = 1e6

linux = pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")


@pytest.fixture
def child() -> Iterator[Child]:
    child = Child()
    yield child
    child.end()


def prepared(text: str, network: nn.Module, side: int) -> Prepared:
    target = parse_target(text)
    return Prepared(target, target.export(network, (1, side, side)), torch.rand(1, 1, side, side))


@linux
@pytest.mark.parametrize("target", ["cpu", "cpu-torch"])
def test_weights_count(target: str, child: Child) -> None:
    network = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 100_000))
    found = peak_memory(prepared(target, network, 64), child)["memory_bytes"]
    assert 25.6 * MB <= found < 120 * MB


@linux
def test_activations_count(child: Child) -> None:
    network = nn.Sequential(nn.Conv2d(1, 20, 1), nn.Tanh(), nn.AdaptiveAvgPool2d(1))
    found = peak_memory(prepared("cpu", network, 512), child)["memory_bytes"]
    assert 20 * 512 * 512 * 4 <= found < 200 * MB


@linux
def test_a_small_network_needs_little(child: Child) -> None:
    assert peak_memory(prepared("cpu", nn.Conv2d(1, 2, 1), 8), child)["memory_bytes"] < 5 * MB


def test_what_runs_elsewhere_tells_nothing(child: Child) -> None:
    program = prepared("command:program=true", nn.Conv2d(1, 1, 1), 8)
    assert peak_memory(program, child) == {}


def test_other_systems_tell_nothing(
    child: Child, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "CLEAR_REFS", tmp_path / "none")
    assert peak_memory(prepared("cpu", nn.Conv2d(1, 1, 1), 8), child) == {}
