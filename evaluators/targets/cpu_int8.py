"""ONNX Runtime on the CPU with weights and activations of 8 bits."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..quantise import quantised
from ..target import TARGETS
from .cpu import Cpu, session


@TARGETS.register("cpu-int8")
@dataclass(frozen=True)
class CpuInt8(Cpu):
    """ONNX Runtime's CPU provider: statically quantised to 8 bits, weights by channel.

    Random images give the ranges of the activations: latency does not depend on them.
    """

    def from_onnx(self, graph: bytes) -> bytes:
        """Return the file quantised, unless it already is."""
        if b"QuantizeLinear" in graph:
            return graph
        generator = torch.Generator().manual_seed(0)
        shapes = [
            [size if isinstance(size, int) else 1 for size in source.shape]
            for source in session(graph).get_inputs()
        ]
        return quantised(graph, *([torch.rand(shape, generator=generator)] for shape in shapes))
