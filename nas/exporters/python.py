"""The network as one readable source file that depends on torch alone.

Its modules are written from the module tree: a layer of torch as the call that makes it, a block's
class once, with the source of its `forward` and of the functions which that calls.
"""

from __future__ import annotations

import re
import runpy
import textwrap
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from evaluators.runtimes import GraphError

from ..exporter import EXPORTERS, Exporter, ExportError, Model
from ..files import read_text
from . import _standalone
from ._graph import refusals
from ._layout import Call, layout
from ._sources import Sources

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import nn

    from ..agreement import Runner

_HEADER = '''"""{arch}

Architecture {digest}, {parameters:,} parameters. This file depends on torch only; the weights are
in weights.safetensors beside it, or in a .pt file of the state.

    scores = load()(image)

image: float32 (batch, {shape}), pixels / 255. scores: (batch, {classes}), not yet a softmax.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES = {names}
MEAN, STD = {mean!r}, {std!r}  # by channel, of pixels from 0 to 1


'''
_NETWORK = '''class Network(nn.Module):
    """The parts one after the other, after the image is normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = {parts}
        scale = 1 / torch.tensor(STD)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("scale", scale.view(1, -1, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """(B, {shape}) -> (B, {classes})."""
        x = image = (image - self.mean) * self.scale
{steps}
        return x


'''
_LOAD = '''

def load(weights: str | Path = Path(__file__).with_name("weights.safetensors")) -> Network:
    """Return the network with its weights, in evaluation mode."""
    network = Network()
    network.load_state_dict(read_weights(Path(weights)))
    return network.to(memory_format=torch.channels_last).eval()
'''
_DIGEST = re.compile(r"^Architecture ([0-9a-f]+), ", re.MULTILINE)  # in the header


@EXPORTERS.register("python")
class Python(Exporter):
    """`network.py`, which reads `weights.safetensors` beside it without any package."""

    file: ClassVar[str] = "network.py"
    runs_code: ClassVar[bool] = True
    usage: ClassVar[str] = """\
import sys
import torch

sys.path.insert(0, ".")
from network import load

image = torch.zeros(1, {shape})  # float32, pixels / 255
with torch.inference_mode():
    scores = load()(image)
"""

    def encode(self, model: Model) -> Mapping[str, bytes]:
        """See `Exporter.encode`."""
        sources = Sources(vars(_standalone))
        parts = Call("nn.ModuleDict({", "})")
        for name, part in model.network.parts.items():
            try:
                parts.add(f'"{name}": ', sources.call(part))
            except ExportError as error:
                raise ExportError(f"{self.file}: {name}: {error}") from None
        shape = ", ".join(map(str, model.task.shape))
        about: dict[str, Any] = {"shape": shape, "classes": model.task.classes}
        header = _HEADER.format(
            arch="\n".join(textwrap.wrap(str(model.arch).replace("\\", "/"), 96)),
            digest=model.arch.digest,
            parameters=sum(p.numel() for p in model.network.parameters()),
            names=layout(Call.of("[", map(repr, model.classes), "]"), 10),
            mean=model.mean,
            std=model.std,
            **about,
        )
        wants = [name for name in model.network.parts if model.network.wants_image(name)]
        network = _NETWORK.format(parts=layout(parts, 21, 8), steps=_steps(wants), **about)
        read = sources.text(_standalone.read_weights)
        text = header + sources.definitions() + network + read + _LOAD
        return {self.file: re.sub(r"  # (?:type: ignore|noqa).*", "", text).encode()}

    def open(self, path: Path) -> Runner:
        """See `Exporter.open`; runs the file."""
        with refusals(f"{path}: Python"):
            network: nn.Module = runpy.run_path(str(path))["load"]()
        return torch.inference_mode()(network)

    def digest(self, path: Path) -> str | None:
        """See `Exporter.digest`."""
        try:
            found = _DIGEST.search(read_text(path))
        except ValueError as error:
            raise GraphError(f"{path}: {error}") from error
        return found and found[1]


def _steps(wants_image: list[str]) -> str:
    if not wants_image:
        return "        for part in self.parts.values():\n            x = part(x)"
    names = layout(Call.of("reads_image = {", map(repr, wants_image), "}"), 8, 8)
    return (
        f"        {names}\n        for name, part in self.parts.items():\n"
        "            x = part(x, image) if name in reads_image else part(x)"
    )
