"""The network as ONNX with 8 bits: static quantisation, ranges taken from training images."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from evaluators.onnx_graph import Normalised, to_onnx
from evaluators.quantise import quantised

from ..agreement import Limit
from ..exporter import EXPORTERS, Model
from ..rounding import calibration
from .onnx import Onnx, described

if TYPE_CHECKING:
    from collections.abc import Mapping


@EXPORTERS.register("onnx-int8")
class OnnxInt8(Onnx):
    """The graph that target `cpu-int8` times, with the ranges of real images; metadata as `onnx`.

    Input and output stay float32. Its scores are rounded, so its limit is the share of images with
    the same best class: it tells a broken file from a coarse one, and accuracy tells the rest.
    """

    file: ClassVar[str] = "model.int8.onnx"
    limit: ClassVar[Limit] = Limit(error=None, top1=0.5)
    origin: ClassVar[str] = "onnx"
    usage: ClassVar[str] = Onnx.usage.replace(Onnx.file, file)

    def encode(self, model: Model) -> Mapping[str, bytes]:
        """See `Exporter.encode`."""
        images = calibration(model)
        network = Normalised(model.network, model.mean, model.std)
        graph = quantised(to_onnx(network, model.task.shape), images)
        return {self.file: described(graph, model)}
