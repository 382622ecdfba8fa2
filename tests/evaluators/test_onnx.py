"""ONNX graphs say what the networks say, for every block."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from evaluators.onnx_graph import Normalised, to_onnx
from evaluators.runtimes import GraphError
from evaluators.targets.cpu import session
from search_spaces.arch import Arch, Stage, Task
from search_spaces.block import BLOCKS
from search_spaces.heads import Head
from search_spaces.network import build
from search_spaces.stems import Stem

pytestmark = pytest.mark.export
TASK = Task(5, (3, 28, 28))


def trained(arch: Arch) -> nn.Module:
    """A network with norms that do something."""
    network = build(arch, TASK)
    network.train()(torch.rand(8, *TASK.shape))
    return network.eval()


def run(graph: bytes, images: Tensor) -> Tensor:
    return torch.from_numpy(session(graph).run(["scores"], {"image": images.numpy()})[0])


@pytest.mark.parametrize("name", BLOCKS)
@torch.inference_mode()
def test_every_block_keeps_its_scores(name: str) -> None:
    block = BLOCKS[name]()
    stages = (Stage(24, 1, (block, block)), Stage(48, 2, (block,)))
    network = trained(Arch(Stem(24), stages, Head()))
    graph = to_onnx(network, TASK.shape)
    for batch in (1, 3):
        images = torch.rand(batch, *TASK.shape)
        torch.testing.assert_close(run(graph, images), network(images), rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_normalising_inside_is_exact_at_the_borders_too() -> None:
    network = trained(Arch(Stem(8), (), Head()))
    mean, std = (0.2, 0.3, 0.4), (0.5, 0.6, 0.7)
    images = torch.rand(2, *TASK.shape)
    shift, scale = (torch.tensor(values)[:, None, None] for values in (mean, std))
    wanted = network((images - shift) / scale)
    scores = run(to_onnx(Normalised(network, mean, std), TASK.shape), images)
    torch.testing.assert_close(scores, wanted, rtol=1e-5, atol=1e-5)


def test_norms_are_folded_and_any_batch_fits() -> None:
    import onnx

    graph = onnx.load_from_string(to_onnx(trained(Arch(Stem(8), (), Head(16))), TASK.shape)).graph
    assert "BatchNormalization" not in {node.op_type for node in graph.node}
    ends = [*graph.input, *graph.output]
    assert [end.name for end in ends] == ["image", "scores"]
    assert [end.type.tensor_type.shape.dim[0].dim_param for end in ends] == ["batch"] * 2


@pytest.mark.parametrize("training", [True, False])
def test_the_network_keeps_its_mode(training: bool) -> None:
    network = build(Arch(Stem(8), (), Head()), TASK).train(training)
    to_onnx(network, TASK.shape)
    assert {module.training for module in network.modules()} == {training}


def test_an_operator_that_onnx_lacks_is_named() -> None:
    class Unknown(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            scores: Tensor = torch.special.i0(image)
            return scores

    with pytest.raises(GraphError, match=r"no ONNX graph.*i0"):
        to_onnx(Unknown(), TASK.shape)


@torch.inference_mode()
def test_a_pad_by_constants_is_no_warning() -> None:
    class Padded(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.pad(x, (0, 0, 0, 0, 0, 2))

    graph = to_onnx(Padded(), TASK.shape)
    images = torch.rand(2, *TASK.shape)
    torch.testing.assert_close(run(graph, images), Padded()(images))
