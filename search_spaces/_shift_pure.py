"""The shifts in PyTorch alone, as depthwise convolutions with kernels made from the offsets.

That is the quickest form on CPU in channels-last, and one that every runtime knows.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_weight

WHOLE_REACH = 2  # up to this offset one square kernel is as fast as a row and a column


class Memory:
    """The kernels of the offsets that were seen last: at batch 1, making them takes longest."""

    def __init__(self) -> None:
        self._seen: tuple[Tensor, tuple[int, ...], list[Tensor]] | None = None

    def kernels(self, x: Tensor, dy: Tensor, dx: Tensor, rounded: bool) -> list[Tensor]:
        """Return what moves `x`; for each memory, `rounded` is always the same."""
        size = x.shape[2], x.shape[3]
        with torch.inference_mode(False):  # what is made in that mode cannot be used in training
            offsets = torch.stack((dy.detach(), dx.detach()))
            if type(offsets) is not Tensor:  # an exporter's, which has no values
                return _kernels(x, dy, dx, rounded)
            if self._seen is not None:
                seen, sized, kernels = self._seen
                if (
                    sized == size
                    and seen.dtype == offsets.dtype
                    and seen.device == offsets.device
                    and torch.equal(seen, offsets)
                ):
                    return kernels
            kernels = _kernels(x, dy, dx, rounded)
            self._seen = offsets, size, kernels
        return kernels


def move(x: Tensor, dy: Tensor, dx: Tensor, *, stride: int = 1, rounded: bool = False) -> Tensor:
    """Move each channel of `x` by its offsets, which may be rounded; not differentiable."""
    return _place(x, _kernels(x, dy, dx, rounded), stride)


def shift(
    x: Tensor,
    dy: Tensor,
    dx: Tensor,
    *,
    stride: int = 1,
    rounded: bool = False,
    normalise: bool = False,
    memory: Memory | None = None,
) -> Tensor:
    """Move `x` as `move` does; differentiable by the offsets as if they were not rounded.

    With `normalise`, the gradients of each channel's two offsets are scaled to norm 1.
    """
    kernels = (memory or Memory()).kernels(x, dy, dx, rounded)
    learns = x.requires_grad or dy.requires_grad or dx.requires_grad
    if not torch.is_grad_enabled() or not learns:
        return _place(x, kernels, stride)
    options = kernels, stride, normalise
    moved: Tensor = _Move.apply(x, dy, dx, *options)  # type: ignore[no-untyped-call]
    return moved


def depthwise(
    x: Tensor, kernel: Tensor, stride: tuple[int, int] = (1, 1), dilation: int = 1, margin: int = 0
) -> Tensor:
    """Convolve each channel with its kernel, zeros around the map; `margin` more are results."""
    rows, columns = (dilation * (size // 2) + margin for size in kernel.shape[2:])
    return F.conv2d(x, kernel.to(x.dtype), None, stride, (rows, columns), dilation, x.shape[1])


def shift_fixed(x: Tensor, kernel: Tensor, dilation: int) -> Tensor:
    """Convolve `x` with a one-hot kernel; differentiable by `x` alone."""
    if not torch.is_grad_enabled() or not x.requires_grad:
        return depthwise(x, kernel, dilation=dilation)
    moved: Tensor = _Fixed.apply(x, kernel, dilation)  # type: ignore[no-untyped-call]
    return moved


def round_away(offsets: Tensor) -> Tensor:
    """Round half away from zero, as C does."""
    size = offsets.abs()
    whole = size.floor()  # not floor(size + 0.5): adding rounds 0.49999997 up to 1
    return offsets.sign() * (whole + (size - whole >= 0.5))


def one_hot(dy: Tensor, dx: Tensor, reach: int) -> Tensor:
    """Return the depthwise kernel (C, 1, 2*reach+1, 2*reach+1) of whole offsets."""
    rows, columns = _hats(torch.stack((dy, dx)), reach)
    return _outer(rows, columns)


class _Fixed(torch.autograd.Function):
    """A shift by a one-hot kernel; backward it is the opposite shift, by the mirrored kernel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.dilation = dilation
        return depthwise(x, kernel, dilation=dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (kernel,) = ctx.saved_tensors
        return depthwise(grad, kernel.flip(2, 3), dilation=ctx.dilation), None, None


class _Move(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        dy: Tensor,
        dx: Tensor,
        kernels: list[Tensor],
        stride: int,
        normalise: bool,
    ) -> Tensor:
        ctx.save_for_backward(x if any(ctx.needs_input_grad[1:3]) else None, dy, dx, *kernels)
        ctx.shape, ctx.dtype, ctx.stride, ctx.normalise = x.shape, x.dtype, stride, normalise
        return _place(x, kernels, stride)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, dy, dx, *kernels = ctx.saved_tensors
        grad = grad.to(ctx.dtype)  # they differ under autocast
        grad_x = grad_dy = grad_dx = None
        if ctx.needs_input_grad[0]:
            grad_x = _unplace(grad, kernels, ctx.shape, ctx.stride)
        if x is not None:
            grad_dy, grad_dx = _offset_gradients(grad, x, torch.stack((dy, dx)), ctx.stride)
            if ctx.normalise:
                norm = torch.hypot(grad_dy, grad_dx)
                norm = torch.where(norm > 0, norm, 1.0)
                grad_dy, grad_dx = grad_dy / norm, grad_dx / norm
        return grad_x, grad_dy, grad_dx, None, None, None


def _offset_gradients(grad: Tensor, x: Tensor, offsets: Tensor, stride: int) -> Tensor:
    """Return the gradients (2, C) of the bilinear shift of `x` by `offsets` (2, C).

    They follow from the gradient of a 3x3 kernel, since larger ones are slow: what is farther is
    moved there before, one row and one column more on each side than the map has.
    """
    padding, low, high = 1, *torch.aminmax(offsets)
    if not (low >= -1 and high < 1):
        whole = torch.round(offsets)
        offsets = offsets - whole
        limits = x.shape[2], x.shape[3]
        x = _place(x, _kernels(x, whole[0], whole[1], False, limits), margin=1)
        padding = 0
    size = x.shape[1], 1, 3, 3
    kernel = conv2d_weight(x, size, grad, stride, padding, 1, size[0])  # type: ignore[no-untyped-call]
    by_row, by_column = _hats(offsets, 1)
    slope_y, slope_x = _slopes(offsets)
    kernel = kernel[:, 0]
    return torch.stack(
        (
            ((kernel * by_column[:, None, :]).sum(2) * slope_y).sum(1),
            ((kernel * by_row[:, :, None]).sum(1) * slope_x).sum(1),
        )
    )


def _kernels(
    x: Tensor, dy: Tensor, dx: Tensor, rounded: bool, limits: tuple[int, int] | None = None
) -> list[Tensor]:
    """Return the square kernel that moves `x`, or the column and the row that do."""
    offsets = torch.stack((dy.detach(), dx.detach()))
    if rounded:
        offsets = round_away(offsets)
    # Not a number moves nothing, but makes the map one: so a training learns that it diverged.
    reaches = offsets.abs().amax(1).ceil().nan_to_num(0.0).tolist()
    limits = limits or (x.shape[2] - 1, x.shape[3] - 1)
    reach = [int(min(reach, limit)) for reach, limit in zip(reaches, limits, strict=True)]
    if max(reach) <= WHOLE_REACH:
        return [_outer(*_hats(offsets, max(reach)))]
    rows, columns = _hats(offsets[0], reach[0]), _hats(offsets[1], reach[1])
    return [rows[:, None, :, None], columns[:, None, None, :]]


def _hats(offsets: Tensor, reach: int) -> Tensor:
    """Return (..., 2*reach+1): the weights of linear interpolation at their places."""
    places = torch.arange(-reach, reach + 1, device=offsets.device, dtype=offsets.dtype)
    return (1 - (offsets[..., None] - places).abs()).clamp(min=0)


def _slopes(offsets: Tensor) -> Tensor:
    """Return (..., 3): the derivative of `_hats` by offsets below 1, on integers from the right."""
    places = torch.arange(-1, 2, device=offsets.device)
    floor = torch.floor(offsets)[..., None]
    return (floor + 1 == places).to(offsets.dtype) - (floor == places).to(offsets.dtype)


def _outer(rows: Tensor, columns: Tensor) -> Tensor:
    """Return the depthwise kernel (C, 1, K_rows, K_columns) of taps (C, K)."""
    return (rows[:, :, None] * columns[:, None, :])[:, None]


def _place(x: Tensor, kernels: list[Tensor], stride: int = 1, margin: int = 0) -> Tensor:
    """Convolve each channel with a square kernel, or with a row and a column."""
    if len(kernels) == 1:
        return depthwise(x, kernels[0], (stride, stride), margin=margin)
    rows, columns = kernels
    padding = columns.shape[3] // 2 + margin
    across = F.conv2d(x, columns.to(x.dtype), None, (1, stride), (0, padding), 1, x.shape[1])
    padding = rows.shape[2] // 2 + margin
    return F.conv2d(across, rows.to(x.dtype), None, (stride, 1), (padding, 0), 1, x.shape[1])


def _unplace(grad: Tensor, kernels: list[Tensor], shape: torch.Size, stride: int) -> Tensor:
    """Return the gradient of `_place` with respect to a map of `shape`."""
    if stride == 1:
        return _place(grad, [kernel.flip(2, 3) for kernel in kernels])
    kernel = kernels[0] if len(kernels) == 1 else kernels[0] * kernels[1]
    padding = kernel.shape[2] // 2, kernel.shape[3] // 2
    rest = (shape[2] - 1) % stride, (shape[3] - 1) % stride
    kernel = kernel.to(grad.dtype)
    return F.conv_transpose2d(grad, kernel, None, stride, padding, rest, shape[1])
