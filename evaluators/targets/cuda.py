"""PyTorch on an NVIDIA GPU, without what Python costs: a CUDA graph, timed by the GPU itself."""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from search_spaces.errors import SpecError

from ..runtimes import TargetUnavailable
from ..target import TARGETS, Target, choice
from .cpu_torch import eager, no_onnx, pytorch_refusals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from ..target import Timer

_WARM_UPS = 3  # before a capture, as PyTorch's notes on CUDA graphs have it


@TARGETS.register("cuda")
@dataclass(frozen=True)
class Cuda(Target):
    """PyTorch on a GPU: channels-last, a CUDA graph, timed by events; float16 by default.

    Args:
        precision: of weights, activations and arithmetic; float32 is without TensorFloat-32.

    Raises:
        SpecError: an option has none of its values, or there are several threads.
    """

    precision: str = choice("float16", "bfloat16", "float32")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threads > 1:
            raise SpecError(f"`threads` (={self.threads}) must be 1: a CUDA graph needs no more")

    def export(self, network: nn.Module, *shapes: tuple[int, int, int]) -> nn.Module:  # noqa: ARG002
        """Return a copy of the network, on the CPU."""
        return eager(network, self.precision)

    def from_onnx(self, graph: bytes) -> nn.Module:  # noqa: ARG002
        """See `Target.from_onnx`."""
        raise no_onnx()

    @contextmanager
    def load(self, model: nn.Module, *examples: Tensor) -> Iterator[Timer]:
        """See `Target.load`."""
        _require_gpu()
        exact = torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False)
        images = [_image(example, self.precision) for example in examples]
        with exact, torch.inference_mode():
            with pytorch_refusals():
                graph = _captured(deepcopy(model).cuda(), *images)
            yield lambda calls: _time(graph, calls)

    @property
    def runtime(self) -> str:
        """Return PyTorch, CUDA and the GPU."""
        _require_gpu()
        return (
            f"torch {torch.__version__}, CUDA {torch.version.cuda}, {torch.cuda.get_device_name()}"
        )


def _require_gpu() -> None:
    if not torch.cuda.is_available():
        raise TargetUnavailable(
            f"PyTorch {torch.__version__} finds no CUDA device here: it needs an NVIDIA GPU, its "
            "driver, and a build of PyTorch for CUDA (https://pytorch.org/get-started)"
        )


def _image(example: Tensor, precision: str) -> Tensor:
    image = example.to("cuda", getattr(torch, precision))
    return image.contiguous(memory_format=torch.channels_last)


def _captured(network: nn.Module, *images: Tensor) -> torch.cuda.CUDAGraph:
    """Return the kernels of one inference, to be replayed at once."""
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(_WARM_UPS):
            network(*images)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        network(*images)
    return graph


def _time(graph: torch.cuda.CUDAGraph, calls: int) -> float:
    start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    start.record()
    for _ in range(calls):
        graph.replay()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / calls
