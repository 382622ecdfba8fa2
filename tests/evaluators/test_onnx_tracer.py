"""Traced graphs are the exporter's: the same scores, and the same operators once optimised."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from evaluators import onnx_tracer
from evaluators.onnx_graph import Normalised, to_onnx
from evaluators.onnx_tracer import traced
from evaluators.targets.cpu import session
from search_spaces.arch import Arch, Task
from search_spaces.block import BLOCKS
from search_spaces.heads import Head
from search_spaces.layers import activation
from search_spaces.network import build
from search_spaces.space import Space, StageSpace
from search_spaces.stems import Stem

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.export
TASK = Task(5, (3, 28, 28))
STEMS = Stem(8), Stem(16, kernel=7, act="prelu", pool=True), Stem(24, norm=False, act="none")
HEADS = Head(), Head(32, groups=4, depthwise=True, act="prelu"), Head(16, bias=False)


def space_of(block: str, stem: Stem, head: Head) -> Space:
    """Every knob, stride 1 and 2, wider, narrower and equal."""
    menus = (BLOCKS[block].over(),)
    stages = (
        StageSpace((16, 24), (2,), 1, menus),
        StageSpace((24, 32), (2,), 2, menus),
        StageSpace((16, 24), (1,), 2, menus),
    )
    return Space(f"all of {block}", stem, (stem.width,), stages, head, (head.width,))


def trained(arch: Arch) -> nn.Module:
    """A network with norms that do something."""
    network = build(arch, TASK)
    network.train()(torch.rand(8, *TASK.shape))
    return Normalised(network, [0.5] * 3, [0.25] * 3).eval()


def run(graph: bytes, *images: Tensor) -> Tensor:
    bound = session(graph)
    feed = {source.name: x.numpy() for source, x in zip(bound.get_inputs(), images, strict=True)}
    return torch.from_numpy(bound.run(["scores"], feed)[0])


def optimised(graph: bytes, folder: Path) -> list[str]:
    """Return the operators that ONNX Runtime runs for `graph`, sorted."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return sorted(node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tracer have no exporter to turn to."""

    def refuse(*_: Any) -> bytes:
        raise AssertionError("left to the exporter")

    monkeypatch.setattr(onnx_tracer, "to_onnx", refuse)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_is_traced_as_it_is_exported(block: str, seed: int, tmp_path: Path) -> None:
    arch = space_of(block, STEMS[seed], HEADS[seed]).sample(Random(seed))
    network = trained(arch)
    quick, slow = traced(network, TASK.shape), to_onnx(network, TASK.shape)
    for batch in (1, 3):
        images = torch.rand(batch, *TASK.shape)
        torch.testing.assert_close(run(quick, images), run(slow, images), rtol=0, atol=1e-6)
    assert optimised(quick, tmp_path) == optimised(slow, tmp_path)
    onnx.checker.check_model(onnx.load_from_string(quick), full_check=True)


@pytest.mark.usefixtures("alone")
def test_a_norm_of_what_is_also_added_is_not_folded() -> None:
    class Preactivated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
            self.norm.running_mean = torch.tensor([1.0, 2.0, 3.0])

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            z: Tensor = torch.relu(self.norm(y)) + y
            return z

    network, images = Preactivated().eval(), torch.rand(2, *TASK.shape)
    torch.testing.assert_close(run(traced(network, TASK.shape), images), network(images))


class InPlace(nn.Module):
    """Changes a half of what it adds."""

    def forward(self, x: Tensor) -> Tensor:
        y = x * 2 - 1
        half, _ = y.split_with_sizes([1, 2], 1)
        nn.functional.relu(half, inplace=True)
        return y + y


class Viewed(nn.Module):
    """Knows its batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], -1)


class Sum(nn.Module):
    """Has what no block has."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        z = torch.cos(x)
        z += y
        return z


@pytest.mark.parametrize("network", [InPlace(), Viewed(), Sum()], ids=lambda n: type(n).__name__)
def test_what_is_not_known_is_left_to_the_exporter(
    network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[nn.Module] = []

    def told(module: nn.Module, *shapes: tuple[int, int, int]) -> bytes:
        asked.append(module)
        return to_onnx(module, *shapes)

    monkeypatch.setattr(onnx_tracer, "to_onnx", told)
    images = [torch.rand(2, *TASK.shape) for _ in range(1 + isinstance(network, Sum))]
    graph = traced(network, *(TASK.shape for _ in images))
    assert asked == [network]
    assert run(graph, *images).shape == network(*images).shape


@pytest.mark.usefixtures("alone")
def test_an_input_that_is_not_used_goes_and_one_that_is_the_output_stays() -> None:
    class First(nn.Module):
        def forward(self, x: Tensor, _: Tensor) -> Tensor:
            return x

    images = torch.rand(2, *TASK.shape)
    assert run(traced(First(), TASK.shape, TASK.shape), images).equal(images)


def test_slopes_are_written_without_branches() -> None:
    slopes, images = activation("prelu", 3), torch.randn(2, *TASK.shape)
    with torch.no_grad():
        slopes.weight.copy_(torch.tensor([-0.5, 0.25, 1.5]))
    for export in (traced, to_onnx):
        graph = export(slopes, TASK.shape)
        assert "PRelu" not in {node.op_type for node in onnx.load_from_string(graph).graph.node}
        torch.testing.assert_close(run(graph, images), slopes(images).detach())


@pytest.mark.parametrize("training", [True, False])
def test_the_network_keeps_its_mode(training: bool) -> None:
    network = build(Arch(Stem(8), (), Head()), TASK).train(training)
    traced(network, TASK.shape)
    assert {module.training for module in network.modules()} == {training}
