"""Eager PyTorch on the CPU: for comparison, and where ONNX Runtime is missing."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..onnx_graph import evaluating
from ..runtimes import GraphError
from ..target import TARGETS, CpuTarget, torch_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from ..target import Timer


@TARGETS.register("cpu-torch")
@dataclass(frozen=True)
class CpuTorch(CpuTarget):
    """PyTorch without a compiler: float32, channels-last, inference mode."""

    runtimes = ("torch",)

    def export(self, network: nn.Module, *shapes: tuple[int, int, int]) -> nn.Module:  # noqa: ARG002
        """Return the network itself."""
        return network

    @contextmanager
    def load(self, model: nn.Module, *examples: Tensor) -> Iterator[Timer]:
        """See `Target.load`."""
        if isinstance(model, bytes):
            raise GraphError("PyTorch reads no ONNX files; the targets named cpu, cpu-int8 do")
        images = [x.contiguous(memory_format=torch.channels_last) for x in examples]
        with torch_threads(self.threads), evaluating(model), torch.inference_mode():
            yield self.timer(lambda: model(*images))
