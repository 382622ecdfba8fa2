"""The network as OpenVINO's intermediate representation: Intel's processors and their graphics."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch

from evaluators.onnx_graph import Normalised, to_onnx
from evaluators.targets.cpu_openvino import openvino

from ..exporter import EXPORTERS, Exporter, Model
from ._graph import refusals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from ..agreement import Runner


@EXPORTERS.register("openvino")
class OpenVino(Exporter):
    """Graph (`.xml`) and weights (`.bin`, float32), any batch size."""

    file: ClassVar[str] = "model.xml"
    beside: ClassVar[tuple[str, ...]] = ("model.bin",)
    runtimes: ClassVar[Mapping[str, str]] = {"openvino": "openvino"}
    usage: ClassVar[str] = """\
import numpy as np
import openvino

network = openvino.Core().compile_model("model.xml", "CPU")
image = np.zeros((1, {shape}), dtype=np.float32)  # pixels / 255
scores = network(image)[0]
"""

    def encode(self, model: Model) -> Mapping[str, bytes]:
        """See `Exporter.encode`."""
        network = Normalised(model.network, model.mean, model.std)
        graph = to_onnx(network, model.task.shape)
        with refusals("OpenVINO"), tempfile.TemporaryDirectory(prefix="nas-") as folder:
            whole = openvino().Core().read_model(graph)
            path = Path(folder) / self.file
            openvino().save_model(whole, path, compress_to_fp16=False)
            return {name: (path.parent / name).read_bytes() for name in (self.file, *self.beside)}

    def open(self, path: Path) -> Runner:
        """See `Exporter.open`."""
        settings = {
            "INFERENCE_NUM_THREADS": 1,
            "INFERENCE_PRECISION_HINT": "f32",
            "NUM_STREAMS": 1,
        }
        with refusals(f"{path}: OpenVINO"):
            network = openvino().Core().compile_model(path, "CPU", settings)

        def scores(images: Tensor) -> Tensor:
            with refusals("OpenVINO"):
                return torch.from_numpy(network(images.contiguous().numpy())[0].copy())

        return scores
