"""Weights as safetensors: fast to load, and no code in them as a pickle may have.

Source: https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ..exporter import EXPORTERS, SCHEMA, Exporter, ExportError, Model, load
from ..files import refuse_special

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from ..agreement import Runner


@EXPORTERS.register("safetensors")
class Safetensors(Exporter):
    """The state of the network in float32; metadata: `schema`, `digest` of the architecture."""

    file: ClassVar[str] = "weights.safetensors"
    usage: ClassVar[str] = """\
import nas
import torch

network = nas.load(".")
image = torch.zeros(1, {shape})  # float32, pixels / 255
with torch.inference_mode():
    scores = network(image)
"""

    def encode(self, model: Model) -> Mapping[str, bytes]:
        """See `Exporter.encode`."""
        about = {"schema": str(SCHEMA), "digest": model.arch.digest}
        return {self.file: _reproducible(save(_state(model), about))}

    def open(self, path: Path) -> Runner:
        """See `Exporter.open`; the architecture is that beside the file."""
        return torch.inference_mode()(load(path.parent))

    def decode(self, path: Path, model: Model) -> None:
        """Put the weights of the file `path` into the network of `model`.

        Raises:
            ExportError: missing, damaged, or the weights of another architecture.
        """
        try:
            refuse_special(path)
            with safe_open(path, framework="pt") as file:
                about = file.metadata() or {}
                read = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise ExportError(f"{path} is missing, damaged or no weights: {error}") from error
        if about.get("schema") != str(SCHEMA):
            raise ExportError(f"{path} was not exported from here: its metadata is {about}")
        shapes = {name: (*tensor.shape, tensor.dtype) for name, tensor in read.items()}
        wanted = {name: (*tensor.shape, tensor.dtype) for name, tensor in _state(model).items()}
        odd = sorted(dict(shapes.items() ^ wanted.items()))
        if odd or about.get("digest") != model.arch.digest:
            raise ExportError(
                f"{path} holds the weights of architecture {about.get('digest')}, not "
                f"{model.arch.digest}; missing, unknown or of another shape or type: {odd[:3]}"
            )
        model.network.load_state_dict(read)


def _reproducible(content: bytes) -> bytes:
    """Return a file with its metadata in order, which the package leaves to chance."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:start]), sort_keys=True, separators=(",", ":"))
    padded = header.encode() + b" " * (-len(header.encode()) % 8)  # numbers begin at multiples of 8
    return len(padded).to_bytes(8, "little") + padded + content[start:]


def _state(model: Model) -> dict[str, Tensor]:
    """Return the state, floats as float32, each tensor with memory of its own."""
    return {
        name: (tensor.float() if tensor.is_floating_point() else tensor).cpu().contiguous().clone()
        for name, tensor in model.network.state_dict().items()
    }
