"""Static quantisation of an ONNX file to 8 bits: ranges come from images, weights from themselves.

Quantise and dequantise nodes (QDQ) go around the operators; ONNX Runtime fuses them into kernels on
integers. Activations are unsigned with one scale a tensor, weights signed with one a channel: the
quickest form on a CPU of today. On x86 without VNNI (before 2019) sums of such products saturate,
which costs accuracy, not time.
"""

from __future__ import annotations

import logging
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.errors import NasError

from .runtimes import GraphError, runtime

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor

# Those with a kernel on integers, or none of their own: what ONNX Runtime's
# qdq_selector_action_transformer.cc fuses on a CPU. Others would convert back and forth.
OPERATORS = (
    "Add", "AveragePool", "Clip", "Concat", "Conv", "Gemm", "GlobalAveragePool", "LeakyRelu",
    "MatMul", "MaxPool", "Mul", "Relu", "Reshape", "Sigmoid", "Slice", "Split", "Transpose",
)  # fmt: skip


def quantised(graph: bytes, *images: Iterable[Tensor]) -> bytes:
    """Return the ONNX file `graph` with weights and activations of 8 bits, same input and output.

    Args:
        graph: of one input or more.
        images: for each input, batches (B, C, H, W) in its range. Each tensor's range is that which
            it has on them: for accuracy they must be real ones, for latency any will do.

    Raises:
        TargetUnavailable: onnx or ONNX Runtime is not installed.
        GraphError: no such file, or one that cannot be quantised.
    """
    quantization = runtime("onnxruntime.quantization")
    with tempfile.TemporaryDirectory(prefix="nas-") as folder, _refusals(), _hushed():
        plain, whole = Path(folder) / "plain.onnx", Path(folder) / "quantised.onnx"
        quantization.quantize_static(
            plain,
            whole,
            _reader(quantization.CalibrationDataReader, _simplified(graph, plain), *images),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            op_types_to_quantize=list(OPERATORS),
        )
        return whole.read_bytes()


def _simplified(graph: bytes, path: Path) -> list[str]:
    """Write `graph` to `path`, constants folded, and return the names of its inputs.

    A bias that PyTorch shares between two layers stands behind an Identity, which would keep the
    convolution behind it from being quantised.
    """
    onnxruntime = runtime("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    bound = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return [source.name for source in bound.get_inputs()]


def _reader(base: Any, names: list[str], *images: Iterable[Tensor]) -> Any:
    feeds = (
        {name: batch.contiguous().numpy() for name, batch in zip(names, batches, strict=True)}
        for batches in zip(*images, strict=True)
    )

    class Reader(base):  # type: ignore[misc]
        def get_next(self) -> dict[str, Any] | None:
            return next(feeds, None)

    return Reader()


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn all that the quantiser raises, which has no base of its own, into `GraphError`."""
    try:
        yield
    except NasError:
        raise
    except Exception as error:
        raise GraphError(f"the graph cannot be quantised: {error}") from error


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep the quantiser's hints, which are for those who wrote the graph, off the root logger.

    With no handler on it, the first hint would also set up logging for the whole process.
    """
    silent = logging.NullHandler()
    logging.root.addHandler(silent)
    logging.root.addFilter(_serious)
    try:
        yield
    finally:
        logging.root.removeFilter(_serious)
        logging.root.removeHandler(silent)


def _serious(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR
