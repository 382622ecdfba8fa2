"""The network for ExecuTorch, PyTorch's runtime on phones and boards, with XNNPACK's kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from evaluators.runtimes import runtime

from ..exporter import EXPORTERS, Exporter, Model
from ._graph import exported, one_by_one, refusals
from ._stdout import printing_to_stderr

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from ..agreement import Runner


@EXPORTERS.register("executorch")
class ExecuTorch(Exporter):
    """A `.pte` program for one image, delegated to XNNPACK, norms folded."""

    file: ClassVar[str] = "model.pte"
    runtimes: ClassVar[Mapping[str, str]] = {"executorch": "executorch"}
    usage: ClassVar[str] = """\
import torch
from executorch.runtime import Runtime

content = Path("model.pte").read_bytes()  # keep it: the network reads memory that it does not own
network = Runtime.get().load_program(content).load_method("forward")
image = torch.zeros(1, {shape})  # float32, pixels / 255, one image
(scores,) = network.execute([image])
"""

    def encode(self, model: Model) -> Mapping[str, bytes]:
        """See `Exporter.encode`."""
        graph = exported(model, dynamic=False)
        with printing_to_stderr(), refusals("ExecuTorch"):
            partitioner = runtime("executorch.backends.xnnpack.partition.xnnpack_partitioner")
            lower = runtime("executorch.exir").to_edge_transform_and_lower
            lowered = lower(graph, partitioner=[partitioner.XnnpackPartitioner()])
            return {self.file: bytes(lowered.to_executorch().buffer)}

    def open(self, path: Path) -> Runner:
        """See `Exporter.open`."""
        with printing_to_stderr(), refusals(f"{path}: ExecuTorch"):
            content = path.read_bytes()
            program = runtime("executorch.runtime").Runtime.get().load_program(content)
            loaded = content, program.load_method("forward")  # it reads bytes that it does not own

        def scores(image: Tensor) -> Tensor:
            with refusals("ExecuTorch"):
                result: Tensor = loaded[1].execute([image])[0]
                return result.clone()  # the memory is the program's

        run: Runner = one_by_one(scores)
        return run
