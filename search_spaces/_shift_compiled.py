"""The shifts in C++, for what is trained on a CPU: float32, channels-last; not if NAS_COMPILE=0."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from . import _compiler

SOURCE = Path(__file__).with_name("_shift.cpp")
ONE_THREAD = 32_768  # elements, up to which waking other threads takes longer

_TENSOR_TYPES = (Tensor, nn.Parameter)


def usable(x: Tensor, offsets: Tensor) -> bool:
    """Tell whether `Compiled` can move `x`; the first time, compiling may take a second."""
    return (
        os.environ.get("NAS_COMPILE") != "0"
        and not torch._C._are_functorch_transforms_active()
        and type(x) in _TENSOR_TYPES  # nothing that only poses as a tensor in memory
        and x.dtype == offsets.dtype == torch.float32
        and x.is_cpu
        and offsets.is_cpu
        and x.ndim == 4
        and offsets.shape == (x.shape[1],)
        and x.numel() > 0
        and x.is_contiguous(memory_format=torch.channels_last)
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
        and library() is not None
    )


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled functions, or nothing where they are not to be had."""
    found = _compiler.load(SOURCE)
    if found is None or not (hasattr(found, "nas_shift") and hasattr(found, "nas_shift_slopes")):
        return None
    sizes = [ctypes.c_longlong] * 4
    found.nas_shift.argtypes = [*[ctypes.c_void_p] * 4, *sizes, *[ctypes.c_int] * 5]
    found.nas_shift_slopes.argtypes = [*[ctypes.c_void_p] * 6, *sizes, *[ctypes.c_int] * 2]
    return found


@dataclass(frozen=True)
class Compiled:
    """The form of shifts for maps that are `usable`.

    Args:
        stride: of the output's grid.
        step: unit of the offsets, 1 if they learn.
        rounded: whether offsets are rounded, half away from zero.
    """

    stride: int = 1
    step: int = 1
    rounded: bool = False

    def move(self, x: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
        """Return the moved map."""
        b, c, h, w = x.shape
        y = _empty((b, c, (h - 1) // self.stride + 1, (w - 1) // self.stride + 1))
        options = self.stride, self.step, self.rounded, False
        _call("nas_shift", (x, dy.contiguous(), dx.contiguous(), y), x.shape, *options)
        return y

    def back(self, grad: Tensor, dy: Tensor, dx: Tensor, shape: torch.Size) -> Tensor:
        """Return the gradient of a map of `shape` from that of the moved map."""
        grad_x = _empty(shape)
        options = self.stride, self.step, self.rounded, True
        _call("nas_shift", (_last(grad), dy.contiguous(), dx.contiguous(), grad_x), shape, *options)
        return grad_x

    def slopes(self, x: Tensor, dy: Tensor, dx: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of the offsets, as if they were not rounded."""
        by_y, by_x = _empty(dy.shape), _empty(dx.shape)
        tensors = x, dy.contiguous(), dx.contiguous(), _last(grad), by_y, by_x
        _call("nas_shift_slopes", tensors, x.shape, self.stride)
        return by_y, by_x


def _empty(shape: tuple[int, ...]) -> Tensor:
    # Whatever the defaults of type and device are: the library writes float32 to memory.
    layout = torch.channels_last if len(shape) == 4 else torch.contiguous_format
    return torch.empty(shape, dtype=torch.float32, device="cpu", memory_format=layout)


def _last(grad: Tensor) -> Tensor:
    return grad.contiguous(memory_format=torch.channels_last)


def _call(name: str, tensors: tuple[Tensor, ...], shape: torch.Size, *options: int) -> None:
    """Call a function with tensors, the shape of the map that is moved, and options.

    Raises:
        MemoryError: there was none for its work.
    """
    b, c, h, w = shape
    threads = torch.get_num_threads() if shape.numel() > ONE_THREAD else 1
    pointers = [tensor.data_ptr() for tensor in tensors]
    if getattr(library(), name)(*pointers, b, h, w, c, *options, threads):
        raise MemoryError("a shift found no memory for its work")
