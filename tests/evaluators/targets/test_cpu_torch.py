"""Eager PyTorch: precisions, and no ONNX."""

from __future__ import annotations

import pytest
import torch

from evaluators.runtimes import GraphError
from evaluators.target import parse_target
from evaluators.testing import SHAPE, network


def test_bfloat16_is_of_a_copy() -> None:
    model = network()
    copy = parse_target("cpu-torch:precision=bfloat16").export(model, SHAPE)
    assert {p.dtype for p in copy.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_an_onnx_file_is_refused() -> None:
    with pytest.raises(GraphError, match="PyTorch reads no ONNX files; cpu, cpu-int8"):
        parse_target("cpu-torch").from_onnx(b"")


def test_a_network_that_cannot_run_is_refused() -> None:
    target = parse_target("cpu-torch")
    model = target.export(network(), SHAPE)
    with (
        pytest.raises(GraphError, match=r"PyTorch refuses the network: .*to have 3 channels"),
        target.load(model, torch.rand(1, 4, 8, 8)),
    ):
        pass
