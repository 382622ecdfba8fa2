"""The network as ONNX: pixels from 0 to 1 in, scores out, what they mean in the metadata."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

import torch

from evaluators.onnx_graph import INPUT, Normalised, to_onnx
from evaluators.runtimes import GraphError, runtime
from evaluators.targets.cpu import refusals, session

from ..exporter import EXPORTERS, Exporter, Model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from ..agreement import Runner


@EXPORTERS.register("onnx")
class Onnx(Exporter):
    """The graph that `Latency` times: norms folded, normalisation inside, any batch size.

    Metadata: `digest`, `arch`, `classes`, `mean` and `std` as JSON, and `input` in words.
    """

    file: ClassVar[str] = "model.onnx"
    usage: ClassVar[str] = """\
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
image = np.zeros((1, {shape}), dtype=np.float32)  # pixels / 255
(scores,) = session.run(["scores"], {{"image": image}})
"""

    def encode(self, model: Model) -> Mapping[str, bytes]:
        """See `Exporter.encode`."""
        network = Normalised(model.network, model.mean, model.std)
        return {self.file: described(to_onnx(network, model.task.shape), model)}

    def open(self, path: Path) -> Runner:
        """See `Exporter.open`."""
        try:
            run = session(path.read_bytes()).run
        except (GraphError, OSError) as error:
            raise GraphError(f"{path}: {error}") from error

        def scores(images: Tensor) -> Tensor:
            with refusals():
                return torch.from_numpy(run(None, {INPUT: images.contiguous().numpy()})[0])

        return scores

    def digest(self, path: Path) -> str | None:
        """See `Exporter.digest`; damage is whatever protobuf makes of it."""
        onnx = runtime("onnx")
        try:
            graph = onnx.load(path, load_external_data=False)
        except Exception as error:
            raise GraphError(f"{path}: is no graph of ONNX: {error}") from error
        return next((prop.value for prop in graph.metadata_props if prop.key == "digest"), None)


def described(graph: bytes, model: Model) -> bytes:
    """Return the checked graph with what its numbers mean in its metadata."""
    onnx = runtime("onnx")
    whole = onnx.load_from_string(graph)
    about = {
        "digest": model.arch.digest,
        "arch": model.arch.to_json(),
        "classes": json.dumps(model.classes),
        "mean": json.dumps(model.mean),
        "std": json.dumps(model.std),
        "input": "float32 (batch, channels, height, width), pixels / 255; normalised inside",
    }
    onnx.helper.set_model_props(whole, about)
    onnx.checker.check_model(whole)
    return bytes(whole.SerializeToString())
