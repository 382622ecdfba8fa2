"""ONNX Runtime with 8 bits: files are quantised once."""

from __future__ import annotations

import onnx
import torch

from evaluators.onnx_graph import to_onnx
from evaluators.quantise import quantised
from evaluators.target import parse_target
from evaluators.testing import SHAPE, network


def kinds(file: bytes) -> set[str]:
    return {node.op_type for node in onnx.load_from_string(file).graph.node}


def test_an_export_is_quantised() -> None:
    assert "QuantizeLinear" in kinds(parse_target("cpu-int8").export(network(), SHAPE))


def test_a_file_that_is_quantised_stays_as_it_is() -> None:
    file = quantised(to_onnx(network(), SHAPE), [torch.rand(1, *SHAPE)])
    assert parse_target("cpu-int8").from_onnx(file) == file
