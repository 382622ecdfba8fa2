"""The ONNX nodes of the PyTorch functions that blocks call: what `onnx_tracer` knows.

A function takes what PyTorch's takes, `Symbol`s in the place of tensors, and returns symbols. What
it does not do, it leaves to the exporter (`Untraced`).
"""

from __future__ import annotations

from math import ceil, prod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .onnx_tracer import BATCH, Symbol, Untraced, writes

if TYPE_CHECKING:
    from collections.abc import Sequence

VIEWS = {"Flatten", "Reshape", "Split", "Transpose", "Unsqueeze"}

Sides = int | tuple[int, ...]


def _pair(value: Sides) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value)


def _slide(
    x: Symbol, kernel: Sides, stride: Sides, padding: Sides, dilation: Sides = 1, up: bool = False
) -> tuple[list[int], dict[str, Any]]:
    """Return the sides that a sliding window leaves of a map, and its attributes."""
    if up and padding:
        raise Untraced("a window that begins in the margin")
    windows = list(map(_pair, (kernel, stride, padding, dilation)))
    sides = []
    for n, k, s, p, d in zip(x.shape[2:], *windows, strict=True):
        steps = (n + 2 * p - d * (k - 1) - 1) / s
        sides.append(int(ceil(steps) if up else steps) + 1)
    kernels, strides, pads, _ = windows
    return sides, {"kernel_shape": kernels, "strides": strides, "pads": pads * 2}


def _in_place(x: Symbol, y: Symbol) -> Symbol:
    """Let `x` be `y` from now on, which was made of it, if nobody holds what it was."""
    maker = x.graph.makers.get(x.name)
    if maker is None or maker.op in VIEWS or x.graph.uses[x.name] > 1:
        raise Untraced("in place")
    x.name = y.name
    return x


@writes(torch.conv2d)
def _conv(
    x: Symbol,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sides = 1,
    padding: Sides = 0,
    dilation: Sides = 1,
    groups: int = 1,
) -> Symbol:
    sides, attributes = _slide(x, tuple(weight.shape[2:]), stride, padding, dilation)
    constants = [x.graph.constant(value) for value in (weight, bias) if value is not None]
    shape = (BATCH, weight.shape[0], *sides)
    return x.then("Conv", shape, *constants, **attributes, dilations=_pair(dilation), group=groups)


@writes(F.linear)
def _linear(x: Symbol, weight: Tensor, bias: Tensor | None = None) -> Symbol:
    if len(x.shape) != 2:
        raise Untraced("a linear layer of a map")
    shape = BATCH, weight.shape[0]
    if bias is None:
        return x.then("MatMul", shape, x.graph.constant(weight.T))
    return x.then("Gemm", shape, *map(x.graph.constant, (weight, bias)), transB=1)


@writes(F.batch_norm)
def _norm(
    x: Symbol,
    mean: Tensor,
    variance: Tensor,
    weight: Tensor,
    bias: Tensor,
    training: bool,
    momentum: float,
    eps: float,
) -> Symbol:
    if training:
        raise Untraced("a norm over the batch")
    constants = map(x.graph.constant, (weight, bias, mean, variance))
    return x.then("BatchNormalization", x.shape, *constants, epsilon=eps, momentum=1 - momentum)


@writes(F.relu, torch.relu)
def _relu(x: Symbol, inplace: bool = False) -> Symbol:
    y = x.then("Relu", x.shape)
    return _in_place(x, y) if inplace else y


@writes(F.hardtanh)
def _clip(x: Symbol, min_val: float, max_val: float, inplace: bool = False) -> Symbol:
    ends = (x.graph.constant(np.float32(end)) for end in (min_val, max_val))
    y = x.then("Clip", x.shape, *ends)
    return _in_place(x, y) if inplace else y


@writes(torch.prelu)
def _prelu(x: Symbol, slopes: Tensor) -> Symbol:
    return x.then("PRelu", x.shape, x.graph.constant(slopes.reshape(-1, 1, 1)))


@writes(torch.sigmoid)
def _sigmoid(x: Symbol) -> Symbol:
    return x.then("Sigmoid", x.shape)


@writes(F.dropout)
def _dropout(x: Symbol, p: float, training: bool, inplace: bool) -> Symbol:  # noqa: ARG001
    if training:
        raise Untraced("dropout")
    return x


@writes(torch.add)
def _add(x: Symbol, y: Symbol | Tensor | float) -> Symbol:
    return _binary("Add", x, y)


@writes(torch.sub)
def _subtract(x: Symbol, y: Symbol | Tensor | float) -> Symbol:
    return _binary("Sub", x, y)


@writes(torch.mul)
def _multiply(x: Symbol, y: Symbol | Tensor | float) -> Symbol:
    return _binary("Mul", x, y)


def _binary(op: str, x: Symbol, y: Symbol | Tensor | float) -> Symbol:
    other = y if isinstance(y, Symbol) else torch.as_tensor(y, dtype=x.dtype)
    if len(other.shape) not in (0, len(x.shape)) or other.shape[:1] not in ((), (1,), (BATCH,)):
        raise Untraced("an operand of another rank")
    name = other.name if isinstance(other, Symbol) else x.graph.constant(other)
    sizes = torch.broadcast_shapes(x.shape[1:], other.shape[1:])  # type: ignore[no-untyped-call]
    return x.then(op, (BATCH, *sizes), name)


@writes(F.adaptive_avg_pool2d)
def _mean(x: Symbol, size: Sides) -> Symbol:
    if _pair(size) != [1, 1]:
        raise Untraced("a mean of parts")
    return x.then("GlobalAveragePool", (*x.shape[:2], 1, 1))


@writes(F.avg_pool2d)
def _average(
    x: Symbol,
    kernel: Sides,
    stride: Sides,
    padding: Sides = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Symbol:
    if divisor_override:
        raise Untraced("a divisor")
    sides, attributes = _slide(x, kernel, stride, padding, up=ceil_mode)
    attributes |= {"ceil_mode": int(ceil_mode), "count_include_pad": int(count_include_pad)}
    return x.then("AveragePool", (*x.shape[:2], *sides), **attributes)


@writes(F.max_pool2d)
def _maximum(
    x: Symbol,
    kernel: Sides,
    stride: Sides,
    padding: Sides = 0,
    dilation: Sides = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Symbol:
    if return_indices or _pair(dilation) != [1, 1]:
        raise Untraced("indices, or a dilation")
    sides, attributes = _slide(x, kernel, stride, padding, up=ceil_mode)
    return x.then("MaxPool", (*x.shape[:2], *sides), **attributes, ceil_mode=int(ceil_mode))


@writes(torch.cat)
def _cat(maps: Sequence[Symbol], dim: int = 0) -> Symbol:
    first, *others = maps
    shape = list(first.shape)
    shape[dim] = sum(x.shape[dim] for x in maps)
    return first.then("Concat", shape, *(x.name for x in others), axis=dim)


@writes(torch.split_with_sizes, Tensor.split_with_sizes)
def _split(x: Symbol, sizes: Sequence[int], dim: int = 0) -> list[Symbol]:
    names = x.graph.write("Split", len(sizes), x.name, x.graph.constant(sizes), axis=dim)
    before, after = x.shape[:dim], x.shape[dim + 1 :]
    shapes = [(*before, size, *after) for size in sizes]
    return [Symbol(x.graph, name, shape) for name, shape in zip(names, shapes, strict=True)]


@writes(Tensor.reshape)
def _reshape(x: Symbol, *shape: int) -> Symbol:
    if shape[0] != BATCH or min(shape[1:]) < 1 or prod(shape) != prod(x.shape):
        raise Untraced("a reshape of the batch")
    return x.then("Reshape", shape, x.graph.constant(shape))


@writes(Tensor.transpose)
def _transpose(x: Symbol, first: int, second: int) -> Symbol:
    order = list(range(len(x.shape)))
    order[first], order[second] = second, first
    return x.then("Transpose", [x.shape[i] for i in order], perm=order)


@writes(Tensor.flatten)
def _flatten(x: Symbol, start: int = 0, end: int = -1) -> Symbol:
    if (start, end) != (1, -1):
        raise Untraced("a flattened batch")
    return x.then("Flatten", (BATCH, prod(x.shape[1:])), axis=1)


@writes(Tensor.dim)
def _dim(x: Symbol) -> int:
    return len(x.shape)


@writes(Tensor.__getitem__)
def _index(x: Symbol, index: Any) -> Symbol:
    """Write axes of size 1 behind the others, `x[:, :, None]`: nothing else."""
    rank = len(x.shape)
    if index[:rank] != (slice(None),) * rank or any(i is not None for i in index[rank:]):
        raise Untraced("an index")
    for axis in range(rank, len(index)):  # one by one, as the exporter does
        x = x.then("Unsqueeze", (*x.shape, 1), x.graph.constant([axis]))
    return x
