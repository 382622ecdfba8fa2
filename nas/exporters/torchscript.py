"""The network as TorchScript: for C++ programs and phones that load no newer form.

PyTorch calls it deprecated in favour of `torch.export` but still carries it (2.13); it is the one
of its forms that LibTorch reads without compiling.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from ..exporter import EXPORTERS, Exporter, Model
from ._graph import plain, refusals

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from ..agreement import Runner

_JIT: Any = torch.jit  # untyped


@EXPORTERS.register("torchscript")
class TorchScript(Exporter):
    """A traced and frozen program, norms folded, any batch size; for LibTorch or torch alone.

    Opening it runs no Python, but its code is a program of TorchScript, so trust is needed.
    """

    file: ClassVar[str] = "model.torchscript.pt"
    runs_code: ClassVar[bool] = True
    usage: ClassVar[str] = """\
import torch

network = torch.jit.load("model.torchscript.pt")
image = torch.zeros(1, {shape})  # float32, pixels / 255
with torch.inference_mode():
    scores = network(image)
"""

    def encode(self, model: Model) -> Mapping[str, bytes]:
        """See `Exporter.encode`."""
        file = io.BytesIO()
        with refusals("TorchScript"), torch.no_grad():
            traced = _JIT.trace(plain(model), torch.zeros(2, *model.task.shape), check_trace=False)
            _JIT.save(_JIT.freeze(traced), file)
        return {self.file: file.getvalue()}

    def open(self, path: Path) -> Runner:
        """See `Exporter.open`; trusts the file."""
        with refusals(f"{path}: TorchScript"):
            network = _JIT.load(str(path), map_location="cpu")

        @torch.inference_mode()
        def scores(images: Tensor) -> Tensor:
            found: Tensor = network(images)
            return found

        return scores
