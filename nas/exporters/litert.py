"""The network for LiteRT (TensorFlow Lite), the runtime of Android and of microcontrollers."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch

from evaluators.runtimes import runtime

from ..exporter import EXPORTERS, Exporter, Model
from ._graph import one_by_one, plain, refusals
from ._stdout import printing_to_stderr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from ..agreement import Runner


@EXPORTERS.register("litert")
class LiteRt(Exporter):
    """A `.tflite` file for one image, channels first as in all other formats."""

    file: ClassVar[str] = "model.tflite"
    runtimes: ClassVar[Mapping[str, str]] = {"litert_torch": "litert", "ai_edge_litert": "litert"}
    usage: ClassVar[str] = """\
import numpy as np
from ai_edge_litert.interpreter import Interpreter

network = Interpreter("model.tflite")
network.allocate_tensors()
image = np.zeros((1, {shape}), dtype=np.float32)  # pixels / 255, one image
network.set_tensor(network.get_input_details()[0]["index"], image)
network.invoke()
scores = network.get_tensor(network.get_output_details()[0]["index"])
"""

    def encode(self, model: Model) -> Mapping[str, bytes]:
        """See `Exporter.encode`."""
        network, image = plain(model), torch.zeros(1, *model.task.shape)
        with tempfile.TemporaryDirectory(prefix="nas-") as folder:
            path = Path(folder) / self.file
            with printing_to_stderr(), refusals("LiteRT"):
                runtime("litert_torch", extra="litert").convert(network, (image,)).export(str(path))
            return {self.file: path.read_bytes()}

    def open(self, path: Path) -> Runner:
        """See `Exporter.open`."""
        with printing_to_stderr(), refusals(f"{path}: LiteRT"):
            interpreter = runtime("ai_edge_litert.interpreter", extra="litert").Interpreter
            network = interpreter(model_content=path.read_bytes(), num_threads=1)
            network.allocate_tensors()
            (source,), (target,) = network.get_input_details(), network.get_output_details()

        def scores(image: Tensor) -> Tensor:
            with refusals("LiteRT"):
                network.set_tensor(source["index"], image.numpy())
                network.invoke()
                return torch.from_numpy(network.get_tensor(target["index"]))

        run: Runner = one_by_one(scores)
        return run
