"""From a network to the exporter's ONNX graph, ten times as quick, for the operators of blocks.

PyTorch's exporter records, lowers and rewrites a graph in many passes. Here `forward` is called
with `Symbol`s in the place of tensors, and each function that meets one writes its node at once:
those of `onnx_writers`. What they do not know, in a block of yours, say, is left to the exporter.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from .onnx_graph import INPUT, OPSET, OUTPUT, evaluating, to_onnx
from .runtimes import runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

BATCH = -1  # the size of the first axis, which stays open: as `reshape` has it
IR_VERSION = 8  # that of the opset, for older runtimes

WRITERS: dict[Callable[..., Any], Callable[..., Any]] = {}  # by the function of PyTorch


class Untraced(Exception):
    """What the exporter must do."""


def writes(*functions: Callable[..., Any]) -> Callable[[Any], Any]:
    """Enter a function that writes the nodes of `functions`, whose arguments it takes."""

    def enter(writer: Any) -> Any:
        WRITERS.update(dict.fromkeys(functions, writer))
        return writer

    return enter


def traced(network: nn.Module, *shapes: tuple[int, int, int]) -> bytes:
    """Return what `to_onnx` returns, but for the names within and the order of nodes.

    Raises:
        TargetUnavailable: the package onnx is not installed.
        GraphError: an operator that ONNX lacks.
    """
    import_module(".onnx_writers", __package__)  # which need this module
    runtime("onnx")
    graph = Graph()
    inputs = [Symbol(graph, f"{INPUT}{i or ''}", (BATCH, *s)) for i, s in enumerate(shapes)]
    try:
        with torch.inference_mode(), evaluating(network):
            output = network(*inputs)
        return graph.to_bytes(inputs, output)
    except Exception:  # a symbol is no tensor: no telling what a `forward` makes of that
        return to_onnx(network, *shapes)


class Symbol:
    """A float tensor of a graph, as a `forward` sees it: it has a shape, and methods of tensors."""

    dtype, requires_grad = torch.float32, False
    __iadd__ = __isub__ = __imul__ = None  # would change what others hold, too: refused

    def __init__(self, graph: Graph, name: str, shape: Sequence[int]) -> None:
        self.graph, self.name, self.shape = graph, name, torch.Size(shape)

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Write the node of `function`: PyTorch calls this when a function meets a symbol."""
        if function not in WRITERS:
            raise Untraced(function)
        return WRITERS[function](*args, **(kwargs or {}))

    def __getattr__(self, name: str) -> Any:
        writer = WRITERS.get(getattr(Tensor, name, Tensor))
        if writer is None:
            raise AttributeError(name)
        return lambda *args, **kwargs: writer(self, *args, **kwargs)

    def __add__(self, other: object) -> Any:
        return WRITERS[torch.add](self, other)

    def __sub__(self, other: object) -> Any:
        return WRITERS[torch.sub](self, other)

    def __mul__(self, other: object) -> Any:
        return WRITERS[torch.mul](self, other)

    def __getitem__(self, index: object) -> Any:
        return WRITERS[Tensor.__getitem__](self, index)

    def then(self, op: str, shape: Sequence[int], *more: str, **attributes: object) -> Symbol:
        """Return the result, of `shape`, of a new node that takes this and `more`."""
        (name,) = self.graph.write(op, 1, self.name, *more, **attributes)
        return Symbol(self.graph, name, shape)


@dataclass
class Node:
    """An operator with the names of what it takes and makes."""

    op: str
    inputs: list[str]
    results: list[str]
    attributes: dict[str, Any]


class Graph:
    """An ONNX graph that grows.

    Attributes:
        nodes: in the order of computation.
        makers: the node of each result.
        uses: how many nodes take a result or an input.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.makers: dict[str, Node] = {}
        self.uses = Counter[str]()
        self._constants: dict[str, NDArray[Any]] = {}

    def write(self, op: str, results: int, *inputs: str, **attributes: object) -> list[str]:
        """Add a node; return the names of its results."""
        names = [f"{op}{len(self.nodes)}_{i}" for i in range(results)]
        node = Node(op, list(inputs), names, attributes)
        self.nodes.append(node)
        self.uses.update(inputs)
        self.makers.update(dict.fromkeys(names, node))
        return names

    def constant(self, value: object) -> str:
        """Return the name of a tensor, or of what numpy makes an array of."""
        name = f"constant{len(self._constants)}"
        array = value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)
        self._constants[name] = np.ascontiguousarray(array)
        return name

    def to_bytes(self, inputs: Sequence[Symbol], output: Symbol) -> bytes:
        """Return the ONNX file with those inputs that are used; to be called once."""
        onnx = runtime("onnx")
        self.write("Identity", 1, output.name)
        self._fold_norms()
        last = self.makers.get(output.name)
        if last is not None and self.uses[output.name] == 1:  # by the identity, which may go
            self.nodes.pop()
            last.results[last.results.index(output.name)] = OUTPUT
        else:
            self.nodes[-1].results = [OUTPUT]
        used = {name for node in self.nodes for name in node.inputs}
        helper, array, floats = onnx.helper, onnx.numpy_helper.from_array, onnx.TensorProto.FLOAT
        sources, scores = (
            [helper.make_tensor_value_info(n, floats, ["batch", *s[1:]]) for n, s in ends]
            for ends in (
                [(x.name, x.shape) for x in inputs if x.name in used],
                [(OUTPUT, output.shape)],
            )
        )
        graph = helper.make_graph(
            [helper.make_node(n.op, n.inputs, n.results, **n.attributes) for n in self.nodes],
            "network",
            sources,
            scores,
            [array(value, name) for name, value in self._constants.items() if name in used],
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        return bytes(model.SerializeToString())

    def _fold_norms(self) -> None:
        """Let convolutions do what norms of their results do, as the exporter has it."""
        for norm in [node for node in self.nodes if node.op == "BatchNormalization"]:
            conv = self.makers.get(norm.inputs[0])
            if conv is None or conv.op != "Conv" or self.uses[norm.inputs[0]] > 1:
                continue
            weight, bias, mean, variance = (self._constants[name] for name in norm.inputs[1:])
            scale = weight / np.sqrt(variance + np.float32(norm.attributes["epsilon"]))
            kernel, *old = (self._constants[name] for name in conv.inputs[1:])
            bias = ((old[0] if old else 0) - mean) * scale + bias
            folded = kernel * scale[:, None, None, None], bias
            conv.inputs[1:] = map(self.constant, folded)
            conv.results = norm.results
            self.makers[norm.results[0]] = conv
            self.nodes.remove(norm)
