"""From a network to ONNX: the only place that knows how PyTorch exports."""

from __future__ import annotations

import io
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .runtimes import GraphError, runtime

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OPSET = 17
INPUT, OUTPUT = "image", "scores"


class Normalised(nn.Module):
    """A network that takes pixels from 0 to 1 and normalises them itself.

    Subtraction and product stay in front of the first convolution: folded into its weights they
    would change the borders, since the zeros that it pads with are not normalised.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("scale", 1 / torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, classes)."""
        scores: Tensor = self.network((image - self.mean) * self.scale)
        return scores


def to_onnx(network: nn.Module, *shapes: tuple[int, int, int]) -> bytes:
    """Return `network` as an ONNX file: `image` (batch, *shape) in, `scores` (batch, classes) out.

    More shapes are more inputs: `image1`, `image2`...

    The graph is that of evaluation, with norms folded into convolutions and any batch size. The
    network keeps its mode.

    Raises:
        TargetUnavailable: the package onnx is not installed.
        GraphError: an operator that ONNX lacks.
    """
    runtime("onnx")  # PyTorch reads its own graph with it
    file = io.BytesIO()
    inputs = [f"{INPUT}{i or ''}" for i in range(len(shapes))]
    axes = {name: {0: "batch"} for name in (*inputs, OUTPUT)}
    options: dict[str, Any] = {"f": file, "dynamic_axes": axes}  # "f": also a file, says its doc
    try:
        with warnings.catch_warnings(), torch.inference_mode(), evaluating(network):
            # Deprecated in favour of dynamo=True, which takes 2 to 4 s a network against 0.1 s.
            warnings.simplefilter("ignore", DeprecationWarning)
            # Sizes of maps become constants, as they should: only the batch varies.
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
            # A pad by constants is exported as slices that are not folded; runtimes fold them.
            warnings.filterwarnings("ignore", "Constant folding", UserWarning)
            torch.onnx.export(
                network,
                tuple(torch.zeros(1, *shape) for shape in shapes),
                dynamo=False,
                opset_version=OPSET,
                input_names=inputs,
                output_names=[OUTPUT],
                **options,
            )
    except torch.onnx.OnnxExporterError as error:
        raise GraphError(f"no ONNX graph: {error}") from error
    return file.getvalue()


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put `network` in evaluation mode; each module's own mode comes back after it."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
