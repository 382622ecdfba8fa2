"""Eager PyTorch on the CPU: for comparison, and where ONNX Runtime is missing."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..onnx_graph import evaluating
from ..target import TARGETS, CpuTarget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from ..target import Step


@TARGETS.register("cpu-torch")
@dataclass(frozen=True)
class CpuTorch(CpuTarget):
    """PyTorch without a compiler: float32, channels-last, inference mode."""

    @contextmanager
    def prepare(self, network: nn.Module, example: Tensor) -> Iterator[Step]:
        """See `Target.prepare`."""
        threads = torch.get_num_threads()
        image = example.contiguous(memory_format=torch.channels_last)

        def step() -> None:
            network(image)

        torch.set_num_threads(self.threads)
        try:
            with evaluating(network), torch.inference_mode():
                yield step
        finally:
            torch.set_num_threads(threads)
