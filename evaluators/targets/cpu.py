"""ONNX Runtime on the CPU: what an exported network will run on."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..runtimes import GraphError, runtime
from ..target import TARGETS, CpuTarget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from ..target import Timer


@TARGETS.register("cpu")
@dataclass(frozen=True)
class Cpu(CpuTarget):
    """ONNX Runtime's CPU provider: float32, graph optimised, one operator after the other."""

    runtimes = ("onnxruntime",)

    @contextmanager
    def load(self, model: bytes, *examples: Tensor) -> Iterator[Timer]:
        """See `Target.load`: a run is a plain call, as programs in Python make it."""
        bound = session(model, self.threads)
        names = [source.name for source in bound.get_inputs()]  # inputs that are not used go
        feed = {
            name: example.contiguous().numpy()
            for name, example in zip(names, examples, strict=False)
        }

        def step() -> None:
            bound.run(None, feed)

        with refusals():
            step()
        yield self.timer(step)

    @contextmanager
    def load_part(self, model: bytes, *examples: Tensor) -> Iterator[Timer]:
        """See `Target.load_part`: inputs and outputs are bound, which spares 3 to 20 us a run."""
        bound = session(model, self.threads)
        binding = bound.io_binding()
        values = [example.contiguous().numpy() for example in examples]  # the binding keeps none

        def step() -> None:
            bound.run_with_iobinding(binding)

        with refusals():
            sources = [source.name for source in bound.get_inputs()]
            for name, value in zip(sources, values, strict=False):  # inputs that are not used go
                binding.bind_cpu_input(name, value)
            for output in bound.get_outputs():
                binding.bind_output(output.name)
            step()
        yield self.timer(step)


def session(graph: bytes, threads: int = 1) -> Any:
    """Return an ONNX Runtime session of `graph` on the CPU.

    Raises:
        TargetUnavailable: ONNX Runtime is not installed.
        GraphError: it refuses the graph.
    """
    onnxruntime = runtime("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3  # errors; warnings about unused initialisers help nobody
    with refusals():
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


@contextmanager
def refusals() -> Iterator[None]:
    """Turn ONNX Runtime's exceptions, which have no base of their own, into `GraphError`."""
    try:
        yield
    except Exception as error:
        raise GraphError(f"ONNX Runtime refuses the graph: {error}") from error
