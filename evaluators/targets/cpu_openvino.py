"""OpenVINO on the CPU: what ONNX Runtime is often compared with on Intel's processors."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..runtimes import GraphError, runtime
from ..target import TARGETS, CpuTarget, choice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from ..target import Timer

_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


@TARGETS.register("cpu-openvino")
@dataclass(frozen=True)
class CpuOpenvino(CpuTarget):
    """OpenVINO's CPU plugin: tuned for latency, one stream, float32 or bfloat16.

    Args:
        precision: of the arithmetic, where the processor has it; the file stays float32.
    """

    precision: str = choice("float32", "bfloat16")

    runtimes = ("openvino",)
    extra = "openvino"

    @contextmanager
    def load(self, model: bytes, *examples: Tensor) -> Iterator[Timer]:
        """See `Target.load`."""
        package = openvino()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": self.threads,
            "INFERENCE_PRECISION_HINT": _PRECISIONS[self.precision],
            "ENABLE_CPU_PINNING": False,  # with one thread, whoever measures pins it
        }
        images = [example.contiguous().numpy() for example in examples]
        try:
            graph = package.Core().read_model(model)
            pairs = list(zip(graph.inputs, images, strict=False))  # inputs that are not used go
            graph.reshape({source: image.shape for source, image in pairs})  # a known batch
            request = package.compile_model(graph, "CPU", settings).create_infer_request()
            for i, (_, image) in enumerate(pairs):
                request.set_input_tensor(i, package.Tensor(image, shared_memory=True))
            request.infer()
        except (RuntimeError, TypeError, ValueError) as error:
            raise GraphError(f"OpenVINO refuses the graph: {error}") from error
        yield self.timer(request.infer)


def openvino() -> Any:
    """Import OpenVINO without openvino_telemetry, which reports every import to Google Analytics.

    OpenVINO does without that package where it is missing.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return runtime("openvino", extra="openvino")
