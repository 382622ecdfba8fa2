"""The network as a graph of `torch.export`: what PyTorch compiles, quantises and lowers."""

from __future__ import annotations

import io
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from ..exporter import EXPORTERS, Exporter, Model
from ._graph import exported, refusals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

    from ..agreement import Runner


@EXPORTERS.register("pt2")
class Pt2(Exporter):
    """The graph of `torch.export`, any batch size, shifts as convolutions; needs torch alone.

    `torch.export.load` unpickles constants without `weights_only`, so a foreign file can run code.
    """

    file: ClassVar[str] = "model.pt2"
    runs_code: ClassVar[bool] = True
    usage: ClassVar[str] = """\
import torch

network = torch.export.load("model.pt2").module()
image = torch.zeros(1, {shape})  # float32, pixels / 255
with torch.inference_mode():
    scores = network(image)
"""

    def encode(self, model: Model) -> Mapping[str, bytes]:
        """See `Exporter.encode`."""
        file = io.BytesIO()
        with refusals("torch.export"):
            torch.export.save(exported(model, dynamic=True), file)
        return {self.file: file.getvalue()}

    def open(self, path: Path) -> Runner:
        """See `Exporter.open`; trusts the file."""
        with refusals(f"{path}: torch.export"), _silence():
            network: Any = torch.export.load(path).module()

        @torch.inference_mode()
        def scores(images: Tensor) -> Tensor:
            found: Tensor = network(images)
            return found

        return scores


@contextmanager
def _silence() -> Iterator[None]:
    """Keep `torch.export.load` from logging the traceback of a first try before its second."""
    log = logging.getLogger("torch.export")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
