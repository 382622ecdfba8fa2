"""Tests for targets, ready to use on your own: a contract in a few lines.

::

    class TestMyTarget(TargetContract):
        @pytest.fixture
        def text(self) -> str:
            return "mine:batch=2"

Needs pytest. The tests skip where the target is not available.
"""

from __future__ import annotations

import logging
import pickle
import tempfile
from dataclasses import fields
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from search_spaces.errors import SpecError

from .cores import cores
from .runtimes import GraphError, TargetUnavailable
from .target import parse_target

if TYPE_CHECKING:
    from pathlib import Path

    from .target import Target

SHAPE = (3, 32, 32)
LARGER = 24  # times the channels, hundreds of times the multiply-adds


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
        """The quickest of three, hundreds of times the work: no clock is as bad as that."""
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
