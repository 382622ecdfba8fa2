"""Static quantisation: whole, close to the original, repeatable, and without traces."""

from __future__ import annotations

import logging
import tempfile
from typing import TYPE_CHECKING

import onnx
import pytest
import torch
from torch import nn

from evaluators.onnx_graph import INPUT, Normalised, to_onnx
from evaluators.quantise import quantised
from evaluators.runtimes import GraphError
from evaluators.targets.cpu import session
from search_spaces.arch import Arch, Task
from search_spaces.network import build

if TYPE_CHECKING:
    from pathlib import Path

TASK = Task(5, (3, 32, 32))
ARCH = Arch.from_text(
    "stem(width=8) | stage(width=12,stride=2): mbconv(expand=3), csc, shufflev2"
    " | stage(width=16,stride=2): eesp, active_shift, fe | head"
)
IMAGES = torch.rand(16, *TASK.shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def graph() -> bytes:
    return to_onnx(Normalised(build(ARCH, TASK), [0.5] * 3, [0.25] * 3), TASK.shape)


@pytest.fixture(scope="module")
def small(graph: bytes) -> bytes:
    return quantised(graph, IMAGES.split(8))


def scores(file: bytes) -> torch.Tensor:
    return torch.from_numpy(session(file).run(None, {INPUT: IMAGES.numpy()})[0])


def test_scores_stay_close(graph: bytes, small: bytes) -> None:
    wanted = scores(graph)
    assert (scores(small) - wanted).norm() < 0.1 * wanted.norm()


def test_input_and_output_stay(graph: bytes, small: bytes) -> None:
    for file in (graph, small):
        bound = session(file)
        assert [s.name for s in bound.get_inputs()] == [INPUT]
        assert bound.get_inputs()[0].shape == ["batch", *TASK.shape]
        assert [s.name for s in bound.get_outputs()] == ["scores"]


def test_every_convolution_and_its_bias_are_quantised(small: bytes) -> None:
    nodes = onnx.load_from_string(small).graph.node
    source = {name: node.op_type for node in nodes for name in node.output}
    convolutions = [node for node in nodes if node.op_type in ("Conv", "Gemm")]
    assert len(convolutions) > 10
    for node in convolutions:
        assert [source[name] for name in node.input] == ["DequantizeLinear"] * len(node.input)


def test_the_file_is_a_good_deal_smaller() -> None:
    file = to_onnx(nn.Conv2d(3, 300, 9), TASK.shape)
    assert len(quantised(file, [IMAGES])) < 0.3 * len(file)


def test_it_is_repeatable(graph: bytes, small: bytes) -> None:
    assert quantised(graph, IMAGES.split(8)) == small


def test_ranges_come_from_the_images(graph: bytes, small: bytes) -> None:
    assert quantised(graph, [IMAGES / 2]) != small


def test_nothing_is_left(
    graph: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = [*logging.root.handlers], [*logging.root.filters]
    quantised(graph, [IMAGES])
    assert not list(tmp_path.iterdir())
    assert ([*logging.root.handlers], [*logging.root.filters]) == before
    assert not caplog.text


@pytest.mark.parametrize("file", [b"", b"not a graph"])
def test_what_is_no_graph_is_refused(file: bytes) -> None:
    with pytest.raises(GraphError, match="the graph cannot be quantised"):
        quantised(file, [IMAGES])


def test_without_images_there_are_no_ranges(graph: bytes) -> None:
    with pytest.raises(GraphError, match="cannot be quantised"):
        quantised(graph, [])
