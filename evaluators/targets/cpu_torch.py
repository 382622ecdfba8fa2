"""Eager PyTorch on the CPU: for comparison, and where ONNX Runtime is missing."""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ..runtimes import GraphError
from ..target import TARGETS, CpuTarget, choice, torch_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from ..target import Timer


@TARGETS.register("cpu-torch")
@dataclass(frozen=True)
class CpuTorch(CpuTarget):
    """PyTorch without a compiler: channels-last, inference mode, float32 or bfloat16.

    Args:
        precision: of weights, activations and arithmetic.
    """

    precision: str = choice("float32", "bfloat16")

    runtimes = ("torch",)

    def export(self, network: nn.Module, *shapes: tuple[int, int, int]) -> nn.Module:  # noqa: ARG002
        """Return a copy of the network."""
        return eager(network, self.precision)

    def from_onnx(self, graph: bytes) -> nn.Module:  # noqa: ARG002
        """See `Target.from_onnx`."""
        raise no_onnx()

    @contextmanager
    def load(self, model: nn.Module, *examples: Tensor) -> Iterator[Timer]:
        """See `Target.load`."""
        dtype = getattr(torch, self.precision)
        images = [x.to(dtype, memory_format=torch.channels_last) for x in examples]
        with torch_threads(self.threads), torch.inference_mode():
            with pytorch_refusals():
                model(*images)
            yield self.timer(lambda: model(*images))


def eager(network: nn.Module, precision: str) -> nn.Module:
    """Return a copy of `network` for evaluation, channels-last, in a precision of PyTorch's."""
    copy = deepcopy(network).eval().to(dtype=getattr(torch, precision))
    return copy.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def no_onnx() -> GraphError:
    """Return the refusal of an ONNX file."""
    return GraphError("PyTorch reads no ONNX files; cpu, cpu-int8, cpu-openvino and command do")


@contextmanager
def pytorch_refusals() -> Iterator[None]:
    """Turn PyTorch's exceptions into `GraphError`: an operator without this precision, say."""
    try:
        yield
    except RuntimeError as error:  # NotImplementedError is one
        raise GraphError(f"PyTorch refuses the network: {error}") from error
