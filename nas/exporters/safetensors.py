"""Weights as safetensors: fast to load, and no code in them as a pickle may have.

Source: https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save

from ..exporter import EXPORTERS, SCHEMA, ExportError, Model

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


@EXPORTERS.register("safetensors")
class Safetensors:
    """The state of the network in float32; metadata: `schema`, `digest` of the architecture."""

    file: ClassVar[str] = "weights.safetensors"

    def encode(self, model: Model) -> bytes:
        """See `Exporter.encode`."""
        return save(_state(model), {"schema": str(SCHEMA), "digest": model.arch.digest})

    def check(self, content: bytes, model: Model, images: Tensor) -> None:  # noqa: ARG002
        """See `Exporter.check`; equal weights make equal scores, so no image is needed."""
        read = load(content)
        for name, tensor in _state(model).items():
            if not torch.equal(tensor, read[name]):
                raise ExportError(f"{self.file}: {name} differs from the network's; is it NaN?")

    def decode(self, path: Path, model: Model) -> None:
        """Put the weights of the file `path` into the network of `model`.

        Raises:
            ExportError: missing, damaged, or the weights of another architecture.
        """
        try:
            with safe_open(path, framework="pt") as file:
                about = file.metadata() or {}
                read = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise ExportError(f"{path} is missing, damaged or no weights: {error}") from error
        if about.get("schema") != str(SCHEMA):
            raise ExportError(f"{path} was not exported from here: its metadata is {about}")
        shapes = {name: tuple(tensor.shape) for name, tensor in read.items()}
        wanted = {name: tuple(tensor.shape) for name, tensor in _state(model).items()}
        odd = sorted(dict(shapes.items() ^ wanted.items()))
        if odd or about.get("digest") != model.arch.digest:
            raise ExportError(
                f"{path} holds the weights of architecture {about.get('digest')}, not "
                f"{model.arch.digest}; missing, unknown or of another shape: {odd[:3]}"
            )
        model.network.load_state_dict(read)


def _state(model: Model) -> dict[str, Tensor]:
    """Return the state, floats as float32, each tensor with memory of its own."""
    return {
        name: (tensor.float() if tensor.is_floating_point() else tensor).cpu().contiguous().clone()
        for name, tensor in model.network.state_dict().items()
    }
