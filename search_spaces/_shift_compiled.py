"""The shifts in C++, for what is trained on a CPU: float32, channels-last; if NAS_COMPILE is 1."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from . import _compiler

SOURCE = Path(__file__).with_name("_shift.cpp")
ONE_THREAD = 32_768  # elements, up to which waking other threads takes longer

_TENSOR_TYPES = (Tensor, nn.Parameter)


def usable(x: Tensor, offsets: Tensor) -> bool:
    """Tell whether `shift` can move `x`; the first time, this may take a second to compile it."""
    return (
        os.environ.get("NAS_COMPILE") == "1"
        and not torch.compiler.is_compiling()
        and type(x) in _TENSOR_TYPES  # nothing that only poses as a tensor in memory
        and x.dtype == offsets.dtype == torch.float32
        and x.device.type == offsets.device.type == "cpu"
        and x.ndim == 4
        and offsets.shape == (x.shape[1],)
        and x.numel() > 0
        and x.is_contiguous(memory_format=torch.channels_last)
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._are_functorch_transforms_active()
        and library() is not None
    )


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled functions, or nothing where they are not to be had."""
    found = _compiler.load(SOURCE)
    if found is None or not (hasattr(found, "nas_shift") and hasattr(found, "nas_shift_back")):
        return None
    sizes = [*[ctypes.c_longlong] * 4, *[ctypes.c_int] * 4]
    found.nas_shift.argtypes = [*[ctypes.c_void_p] * 4, *sizes]
    found.nas_shift_back.argtypes = [*[ctypes.c_void_p] * 7, *sizes]
    return found


def shift(
    x: Tensor,
    dy: Tensor,
    dx: Tensor,
    *,
    stride: int = 1,
    step: int = 1,
    rounded: bool = False,
    normalise: bool = False,
) -> Tensor:
    """Move `x` by `step` times its offsets, which may be rounded, half away from zero.

    Args:
        x: (B, C, H, W), as `usable` wants it.
        dy: (C,), vertical.
        dx: (C,), horizontal.
        stride: of the output's grid.
        step: unit of the offsets.
        rounded: whether whole offsets are used; their gradients remain those of real ones.
        normalise: whether the gradients of each channel's two offsets are scaled to norm 1.
    """
    dy, dx = dy.contiguous(), dx.contiguous()
    learns = x.requires_grad or dy.requires_grad or dx.requires_grad
    if not torch.is_grad_enabled() or not learns:
        return _forward(x, dy.detach(), dx.detach(), stride, step, rounded)
    options = stride, step, rounded, normalise
    moved: Tensor = _Compiled.apply(x, dy, dx, *options)  # type: ignore[no-untyped-call]
    return moved


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dy: Tensor, dx: Tensor, *options: Any) -> Tensor:
        ctx.shape, ctx.options = x.shape, options
        ctx.save_for_backward(x if any(ctx.needs_input_grad[1:3]) else None, dy, dx)
        return _forward(x, dy, dx, *options[:3])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, dy, dx = ctx.saved_tensors
        stride, step, rounded, normalise = ctx.options
        grad = grad.contiguous(memory_format=torch.channels_last)
        grad_x = _empty(ctx.shape) if ctx.needs_input_grad[0] else None
        by_y, by_x = (None, None) if x is None else (torch.empty_like(dy), torch.empty_like(dx))
        pointers = map(_pointer, (grad, x, dy, dx, grad_x, by_y, by_x))
        sizes = _sizes(ctx.shape)
        _check(_library().nas_shift_back(*pointers, *sizes, stride, step, rounded, _threads(grad)))
        if normalise and by_y is not None and by_x is not None:
            norm = torch.hypot(by_y, by_x)
            norm = torch.where(norm > 0, norm, 1.0)
            by_y, by_x = by_y / norm, by_x / norm
        return grad_x, by_y, by_x, None, None, None, None


def _forward(x: Tensor, dy: Tensor, dx: Tensor, stride: int, step: int, rounded: bool) -> Tensor:
    b, c, h, w = x.shape
    y = _empty((b, c, (h - 1) // stride + 1, (w - 1) // stride + 1))
    pointers = map(_pointer, (x, dy, dx, y))
    _check(_library().nas_shift(*pointers, *_sizes(x.shape), stride, step, rounded, _threads(x)))
    return y


def _library() -> ctypes.CDLL:
    found = library()
    assert found is not None  # `usable` has seen it
    return found


def _empty(shape: tuple[int, ...]) -> Tensor:
    # Whatever the defaults of type and device are: the library writes float32 to memory.
    last = torch.channels_last
    return torch.empty(shape, dtype=torch.float32, device="cpu", memory_format=last)


def _pointer(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def _sizes(shape: tuple[int, ...]) -> tuple[int, ...]:
    b, c, h, w = shape
    return b, h, w, c


def _threads(x: Tensor) -> int:
    return torch.get_num_threads() if x.numel() > ONE_THREAD else 1


def _check(code: int) -> None:
    if code:
        raise MemoryError("a shift found no memory for its work")
