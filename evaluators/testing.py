"""Tests for targets and training-free scores, ready to use on your own: a contract in a few lines.

::

    class TestMyProxy(ProxyContract):
        @pytest.fixture
        def name(self) -> str:
            return "mine"

    class TestMyTarget(TargetContract):
        @pytest.fixture
        def text(self) -> str:
            return "mine:batch=2"

Needs pytest. The tests skip where the target is not available.
"""

from __future__ import annotations

import logging
import math
import pickle
import subprocess
import sys
import tempfile
from dataclasses import fields
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from search_spaces.arch import Arch, Task
from search_spaces.errors import SpecError
from search_spaces.network import build

from .cores import cores
from .proxy import PROXIES, Batch, score
from .runtimes import GraphError, TargetUnavailable
from .target import parse_target

if TYPE_CHECKING:
    from pathlib import Path

    from .target import Target

SHAPE = (3, 32, 32)
LARGER = 128  # channels: hundreds of times the multiply-adds of the small network


def network(width: int = 4) -> nn.Module:
    """Return a small network for images of `SHAPE`, with random weights."""
    channels = SHAPE[0]
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(width, 10),
    )


class TargetContract:
    """What every target must do; subclasses have a fixture `text`, as `parse_target` reads it."""

    @pytest.fixture
    def target(self, text: str) -> Target:
        """Return the target that `text` names."""
        return parse_target(text)

    @pytest.fixture
    def here(self, target: Target) -> Target:
        """Return the target, if it is available on this machine."""
        try:
            _time(target, network())
        except TargetUnavailable as error:
            pytest.skip(str(error))
        return target

    def test_text_and_target_are_the_same(self, text: str, target: Target) -> None:
        """The text is canonical, and the target is plain data."""
        assert str(target) == text
        assert parse_target(text) == target
        assert pickle.loads(pickle.dumps(target)) == target
        assert len({target, parse_target(text)}) == 1

    def test_the_options_of_all_are_there_and_checked(self, target: Target) -> None:
        """`threads` and `batch` begin the options of every target, and are at least 1."""
        options = fields(target)
        assert [option.name for option in options[:2]] == ["threads", "batch"]
        assert not any(type(f.default) is str and not f.metadata for f in options[:-1])
        with pytest.raises(SpecError, match=r"`batch` \(=0\) must be at least 1"):
            type(target)(**{**vars(target), "batch": 0})

    def test_the_runtime_is_told(self, here: Target) -> None:
        """Latencies are kept by it."""
        assert here.runtime
        assert here.runtime == here.runtime.strip()

    def test_a_larger_network_takes_longer(self, here: Target) -> None:
        """The quickest of three, 600 times the work: no clock is as bad as that."""
        small = min(_time(here, network()) for _ in range(3))
        assert 0 < small < min(_time(here, network(LARGER)) for _ in range(3))

    def test_parts_with_two_inputs_run(self, here: Target) -> None:
        """Parts of a network are timed by themselves, and some take the image as well."""
        images = [torch.rand(here.batch, *SHAPE) for _ in range(2)]
        with here.load(here.export(_Sum(), SHAPE, SHAPE), *images) as timer:
            assert timer(1) > 0

    def test_nothing_else_changes(
        self, here: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither the network nor the process, and no file is left."""
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        model = network()
        weights = {name: value.clone() for name, value in model.state_dict().items()}
        before = _settings()
        _time(here, model)
        assert _settings() == before
        assert all(module.training for module in model.modules())
        assert all(value.equal(weights[name]) for name, value in model.state_dict().items())
        assert not list(tmp_path.iterdir())

    def test_a_broken_graph_is_refused(self, here: Target) -> None:
        """With `GraphError`, which fails a candidate and not a search."""
        image = torch.rand(here.batch, *SHAPE)
        with pytest.raises(GraphError), here.load(here.from_onnx(b"not a graph"), image) as timer:
            timer(1)


class _Sum(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x + y


def _time(target: Target, model: nn.Module) -> float:
    image = torch.rand(target.batch, *SHAPE, generator=torch.Generator().manual_seed(0))
    with target.load(target.export(model, SHAPE), image) as timer:
        timer(1)
        return timer(3)


def _settings() -> tuple[object, ...]:
    return (
        torch.get_num_threads(),
        torch.is_inference_mode_enabled(),
        torch.backends.cudnn.benchmark,
        torch.get_default_dtype(),
        cores(),
        tuple(logging.root.handlers),
        tuple(logging.root.filters),
    )


TASK = Task(classes=4, shape=(3, 16, 16))
FAMILIES = ("mbconv", "shufflev2", "eesp", "csc", "active_shift", "fe")
_IN_ANOTHER_PROCESS = """
import importlib, sys
from evaluators.testing import scored
importlib.import_module(sys.argv[3])
print(repr(scored(sys.argv[1], sys.argv[2])))
"""


def small(block: str) -> Arch:
    """Return a small architecture of three blocks of a kind, all knobs at their defaults."""
    return Arch.from_text(
        f"stem(width=16) | stage(width=16,stride=1): {block} | "
        f"stage(width=32,stride=2): {block}, {block} | head"
    )


def batch() -> Batch:
    """Return six random images for `TASK`."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(6, *TASK.shape, generator=generator)
    return Batch(images, torch.arange(6) % TASK.classes)


def scored(name: str, block: str, seed: int = 0) -> float:
    """Return the score of `small(block)`, weights and draws from `seed`."""
    return score(name, build(small(block), TASK, seed), batch(), seed)


class ProxyContract:
    """What every training-free score must do; subclasses have a fixture `name`, as registered."""

    @pytest.fixture(params=FAMILIES)
    def block(self, request: pytest.FixtureRequest) -> str:
        """Return a kind of block."""
        return str(request.param)

    def test_every_family_has_a_finite_score(self, name: str, block: str) -> None:
        """Also with squeeze-and-excitation, and for images that are all the same."""
        assert math.isfinite(scored(name, f"{block}(se=true)"))
        network, images = build(small(block), TASK), batch()
        same = Batch(torch.ones_like(images.images), images.labels)
        assert math.isfinite(score(name, network, same))

    def test_nothing_else_changes(self, name: str, block: str) -> None:
        """Weights, statistics of norms, gradients, hooks, mode, batch, and PyTorch's generator."""
        network, images = build(small(block), TASK), batch()
        state = {key: value.clone() for key, value in network.state_dict().items()}
        drawn, output = torch.get_rng_state(), network.eval()(images.images)
        with torch.no_grad():
            score(name, network.train(), images)
        assert torch.get_rng_state().equal(drawn)
        assert all(value.equal(state[key]) for key, value in network.state_dict().items())
        assert all(value.grad is None and value.requires_grad for value in network.parameters())
        assert all(module.training for module in network.modules())
        assert not any(module._forward_pre_hooks for module in network.modules())
        assert images.images.equal(batch().images)
        assert network.eval()(images.images).equal(output)

    def test_a_seed_decides(self, name: str) -> None:
        """The same score twice, and in another process."""
        command = [sys.executable, "-c", _IN_ANOTHER_PROCESS, name, "mbconv"]
        command.append(PROXIES[name].__module__)
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        here = scored(name, "mbconv")
        assert here == scored(name, "mbconv")
        assert float(run.stdout) == pytest.approx(here, rel=1e-6)  # other threads, another order

    def test_architectures_differ(self, name: str) -> None:
        """A score that is the same for all ranks nothing."""
        assert len({scored(name, block) for block in FAMILIES}) == len(FAMILIES)
