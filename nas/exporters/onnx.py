"""The network as ONNX: pixels from 0 to 1 in, scores out, what they mean in the metadata."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, ClassVar

import torch

from evaluators.onnx_graph import INPUT, Normalised, evaluating, to_onnx
from evaluators.runtimes import runtime
from evaluators.targets.cpu import session

from ..exporter import EXPORTERS, ExportError, Model

if TYPE_CHECKING:
    from torch import Tensor

TOLERANCE = 1e-4  # float32 sums in another order differ by less: see docs/export.md


@EXPORTERS.register("onnx")
class Onnx:
    """The graph that `Latency` times: norms folded, normalisation inside, any batch size.

    Metadata: `digest`, `arch`, `classes`, `mean` and `std` as JSON, and `input` in words.
    """

    file: ClassVar[str] = "model.onnx"

    def encode(self, model: Model) -> bytes:
        """See `Exporter.encode`."""
        network = Normalised(model.network, model.mean, model.std)
        onnx = runtime("onnx")
        graph = onnx.load_from_string(to_onnx(network, model.task.shape))
        about = {
            "digest": model.arch.digest,
            "arch": model.arch.to_json(),
            "classes": json.dumps(model.classes),
            "mean": json.dumps(model.mean),
            "std": json.dumps(model.std),
            "input": "float32 (batch, channels, height, width), pixels / 255; normalised inside",
        }
        onnx.helper.set_model_props(graph, about)
        onnx.checker.check_model(graph)
        return bytes(graph.SerializeToString())

    def check(self, content: bytes, model: Model, images: Tensor) -> None:
        """See `Exporter.check`.

        The largest difference must be at most 1e-4 times the largest score, or 1e-4 if no score is
        above 1. Then the best class is the same, unless the next one is as close as that.
        """
        run = session(content).run
        network = Normalised(model.network, model.mean, model.std)
        with evaluating(network), torch.inference_mode():
            wanted = network(images)
        for batch in (images, images[:1]):
            scores = torch.from_numpy(run(None, {INPUT: batch.contiguous().numpy()})[0])
            error = float((scores - wanted[: len(batch)]).abs().max())
            limit = TOLERANCE * max(1.0, float(wanted.abs().max()))
            if not error <= limit:  # NaN is none either
                raise ExportError(
                    f"{self.file}: its scores differ from the network's by {error:.2g}, "
                    f"more than {limit:.2g}"
                )
