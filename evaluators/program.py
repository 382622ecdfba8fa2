"""What is timed: an architecture, or an ONNX file, made ready to be loaded on a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from search_spaces.errors import SpecError
from search_spaces.network import build

from .onnx_graph import Normalised
from .runtimes import GraphError, runtime

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from search_spaces.arch import Arch, Task

    from .target import Target, Timer


@dataclass(frozen=True, eq=False)
class Prepared:
    """A program whose parts can be told apart, and sent to another process.

    Attributes:
        target: what it runs on.
        model: in the form that the target's `load` takes.
        example: a batch, (B, C, H, W) from 0 to 1.
    """

    target: Target
    model: Any
    example: torch.Tensor

    def __call__(self) -> AbstractContextManager[Timer]:
        """Load the model afresh."""
        return self.target.load(self.model, self.example)


def program_of(arch: Arch, task: Task, target: Target) -> Prepared:
    """Return the network of `arch` with random weights, in the graph of an export.

    Raises:
        TargetUnavailable: a package for the export is missing.
        GraphError: the network cannot be exported, or the batch is larger than the memory.
    """
    task = arch.on(task)
    channels = task.shape[0]
    network = Normalised(build(arch, task), [0.5] * channels, [0.25] * channels)
    model, example = target.export(network, task.shape), _example(target.batch, task.shape)
    return Prepared(target, model, example)


def program_of_file(path: Path, target: Target) -> Prepared:
    """Return the model in the ONNX file `path`, of one image input with any or fixed batch.

    Raises:
        TargetUnavailable: the package onnx is missing.
        SpecError: no ONNX file, or its input is no image of known size.
    """
    onnx = runtime("onnx")
    try:
        content = path.read_bytes()
        graph = onnx.load_model_from_string(content).graph
    except (OSError, onnx.checker.ValidationError, ValueError) as error:
        raise SpecError(f"{path}: not an ONNX file: {error}") from None
    except Exception as error:  # protobuf's own, whose module differs by its version
        if type(error).__name__ != "DecodeError":
            raise
        raise SpecError(f"{path}: not an ONNX file: {error}") from None
    known = {tensor.name for tensor in graph.initializer}
    sources = [source for source in graph.input if source.name not in known]
    if len(sources) != 1:
        raise SpecError(f"{path}: expected one input, got {len(sources)}")
    sizes = [d.dim_value for d in sources[0].type.tensor_type.shape.dim]
    if len(sizes) != 4 or not all(sizes[1:]):
        shape = ", ".join(str(size or "any") for size in sizes)
        raise SpecError(f"{path}: expected an input of a known size (any, C, H, W), got ({shape})")
    if sizes[0] not in (0, target.batch):
        raise SpecError(f"{path}: its batch is {sizes[0]}, but the target's is {target.batch}")
    example = _example(target.batch, (sizes[1], sizes[2], sizes[3]))
    return Prepared(target, target.from_onnx(content), example)


def _example(batch: int, shape: tuple[int, int, int]) -> torch.Tensor:
    try:
        return torch.rand(batch, *shape, generator=torch.Generator().manual_seed(0))
    except RuntimeError as error:  # PyTorch has no other for a lack of memory
        raise GraphError(f"`batch` (={batch}) of {shape} does not fit into the memory") from error
