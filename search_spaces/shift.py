"""Shift operators: each channel of a map moves by its own offset, and nothing is multiplied.

All follow one rule, `out[h, w] = in[h + dy, w + dx]`, zero outside the map, and all run as
depthwise convolutions with kernels made from the offsets: the cheapest form on CPU in
channels-last, and one that every runtime knows.

Sources: grouped, Wu et al. 2017, arXiv:1711.08141 (kernels: shiftnet_cuda_v2); active, Jeon & Kim
2018, arXiv:1806.07370 (layer: Active-Shift); sparse, Chen et al. 2019, arXiv:1903.05285 (layer:
SparseShiftLayer). Departures: the sparse shift's gradient uses a true floor, where the released
kernel truncates negative coordinates, which changes border pixels only.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_weight

WHOLE_KERNEL = 5  # up to this side one 2-D kernel is as fast as a row and a column


class Shift(nn.Module):
    """Base of the shifts: what a training loop must know about their parameters.

    Attributes:
        lr_multiplier: learning rate of the offsets over that of the weights.
        decays: whether weight decay applies to the offsets.
    """

    lr_multiplier: ClassVar[float] = 1.0
    decays: ClassVar[bool] = False

    def shift_parameters(self) -> tuple[nn.Parameter, ...]:
        """Return the learned offsets: vertical, horizontal; nothing if they are fixed."""
        return ()

    def freeze(self) -> None:
        """Stop learning the offsets."""
        for parameter in self.shift_parameters():
            parameter.requires_grad_(False)


class GroupedShift(Shift):
    """Channels move in the kernel**2 directions of a square in turn; a remainder stays.

    Args:
        channels: of the map.
        kernel: side of the square of directions, odd.
        dilation: length of a step.
    """

    kernel: Tensor

    def __init__(self, channels: int, kernel: int = 3, dilation: int = 1) -> None:
        super().__init__()
        self.dilation = dilation
        dy, dx = grouped_offsets(channels, kernel)
        one_hot = _outer(_taps(dy, kernel // 2), _taps(dx, kernel // 2))
        self.register_buffer("kernel", one_hot, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        if not _learns(x):
            return _depthwise(x, self.kernel, dilation=self.dilation)
        moved: Tensor = _FixedShift.apply(x, self.kernel, self.dilation)  # type: ignore[no-untyped-call]
        return moved


class ActiveShift(Shift):
    """Channels move by learned real offsets, with bilinear interpolation.

    Args:
        channels: of the map.
        stride: of the output's grid.
        normalise: whether each channel's gradient (alpha, beta) is divided by its L2 norm, so that
            only its direction counts.
    """

    lr_multiplier: ClassVar[float] = 0.01

    def __init__(self, channels: int, stride: int = 1, *, normalise: bool = True) -> None:
        super().__init__()
        self.stride = stride
        self.normalise = normalise
        self.alpha = nn.Parameter(torch.empty(channels).uniform_(-1, 1))  # horizontal
        self.beta = nn.Parameter(torch.empty(channels).uniform_(-1, 1))  # vertical

    def shift_parameters(self) -> tuple[nn.Parameter, ...]:
        """Return the learned offsets: vertical, horizontal."""
        return self.beta, self.alpha

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, ceil(H/stride), ceil(W/stride))."""
        dy, dx = _offsets(self)
        if not _learns(x, dy):
            return _place(x, *_bilinear_taps(x, dy, dx), self.stride)
        options = self.stride, self.normalise
        moved: Tensor = _BilinearShift.apply(x, dy, dx, *options)  # type: ignore[no-untyped-call]
        return moved


class SparseShift(Shift):
    """Channels move by learned offsets rounded to integers, half away from zero.

    The gradient is that of the bilinear shift at the real offsets. `penalty`, added to the loss,
    draws offsets to zero, where a channel costs nothing.

    Args:
        channels: of the map.
        init: "grouped", the nine directions of a grouped 3x3 shift in contiguous groups; or "ramp",
            offsets from -1 to below 2, as the released code initialises them under Python 3.
    """

    decays: ClassVar[bool] = True

    def __init__(self, channels: int, init: Literal["grouped", "ramp"] = "grouped") -> None:
        super().__init__()
        dy, dx = _sparse_init(channels, init)
        self.a = nn.Parameter(dy)  # vertical
        self.b = nn.Parameter(dx)  # horizontal

    def shift_parameters(self) -> tuple[nn.Parameter, ...]:
        """Return the learned offsets: vertical, horizontal."""
        return self.a, self.b

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        dy, dx = _offsets(self)
        if not _learns(x, dy):
            return _place(x, *_rounded_taps(x, dy, dx))
        moved: Tensor = _RoundedShift.apply(x, dy, dx)  # type: ignore[no-untyped-call]
        return moved

    def penalty(self) -> Tensor:
        """Return the sum of the displacements' absolute values."""
        return self.a.abs().sum() + self.b.abs().sum()

    def unshifted_share(self) -> float:
        """Return the share of the channels that do not move."""
        still = (_round(self.a.detach()) == 0) & (_round(self.b.detach()) == 0)
        return float(still.float().mean())


def grouped_offsets(channels: int, kernel: int) -> tuple[Tensor, Tensor]:
    """Return the vertical and horizontal steps of a grouped shift, directions interleaved."""
    channel = torch.arange(channels)
    moves = channel < channels // kernel**2 * kernel**2
    dx = channel % kernel - kernel // 2
    dy = channel // kernel % kernel - kernel // 2
    return (dy * moves).float(), (dx * moves).float()


class _FixedShift(torch.autograd.Function):
    """A shift by a one-hot kernel; backward it is the opposite shift, by the mirrored kernel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.dilation = dilation
        return _depthwise(x, kernel, dilation=dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (kernel,) = ctx.saved_tensors
        return _depthwise(grad, kernel.flip(2, 3), dilation=ctx.dilation), None, None


class _BilinearShift(torch.autograd.Function):
    """A shift by real offsets, the gradient of each pair of them scaled to norm 1 if asked for."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, dy: Tensor, dx: Tensor, stride: int, normalise: bool
    ) -> Tensor:
        rows, columns = _bilinear_taps(x, dy, dx)
        ctx.save_for_backward(x, dy, dx, rows, columns)
        ctx.stride, ctx.normalise = stride, normalise
        return _place(x, rows, columns, stride)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, dy, dx, rows, columns = ctx.saved_tensors
        grad = grad.to(x.dtype)  # they differ under autocast
        grad_x = grad_dy = grad_dx = None
        if ctx.needs_input_grad[0]:
            grad_x = _unplace(grad, rows, columns, x, ctx.stride)
        if ctx.needs_input_grad[1]:
            grad_dy, grad_dx = _offset_gradients(grad, x, dy, dx, rows, columns, ctx.stride)
            if ctx.normalise:
                norm = torch.hypot(grad_dy, grad_dx)
                norm = torch.where(norm > 0, norm, 1.0)
                grad_dy, grad_dx = grad_dy / norm, grad_dx / norm
        return grad_x, grad_dy, grad_dx, None, None


class _RoundedShift(torch.autograd.Function):
    """A shift by rounded offsets, with the bilinear shift's gradient with respect to them."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
        rows, columns = _rounded_taps(x, dy, dx)
        ctx.save_for_backward(x, dy, dx, rows, columns)
        return _place(x, rows, columns)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, dy, dx, rows, columns = ctx.saved_tensors
        grad = grad.to(x.dtype)  # they differ under autocast
        grad_x = _unplace(grad, rows, columns, x) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return grad_x, None, None
        return grad_x, *_offset_gradients(grad, x, dy, dx, *_bilinear_taps(x, dy, dx))


def _offset_gradients(
    grad: Tensor, x: Tensor, dy: Tensor, dx: Tensor, rows: Tensor, columns: Tensor, stride: int = 1
) -> tuple[Tensor, Tensor]:
    """Return the gradients of the bilinear shift of `x` with respect to `dy` and `dx`."""
    slope_y, slope_x = _slope(dy, rows.shape[1] // 2), _slope(dx, columns.shape[1] // 2)
    if max(rows.shape[1], columns.shape[1]) > 3:  # the gradient of so large a kernel is slow
        return (
            (grad * _place(x, slope_y, columns, stride)).sum((0, 2, 3)),
            (grad * _place(x, rows, slope_x, stride)).sum((0, 2, 3)),
        )
    size = x.shape[1], 1, rows.shape[1], columns.shape[1]
    padding = size[2] // 2, size[3] // 2
    kernel = conv2d_weight(x, size, grad, stride, padding, 1, size[0])  # type: ignore[no-untyped-call]
    kernel = kernel[:, 0]
    return (
        ((kernel * columns[:, None, :]).sum(2) * slope_y).sum(1),
        ((kernel * rows[:, :, None]).sum(1) * slope_x).sum(1),
    )


def _sparse_init(channels: int, init: str) -> tuple[Tensor, Tensor]:
    group = channels // 9
    dy, dx = torch.zeros(channels), torch.zeros(channels)
    if group:
        channel = torch.arange(9 * group)
        step = channel / group if init == "ramp" else channel // group
        row = step / 3 if init == "ramp" else step // 3
        dy[: 9 * group] = row - 1.0
        dx[: 9 * group] = step % 3 - 1.0
    return dy, dx


def _learns(x: Tensor, offsets: Tensor | None = None) -> bool:
    """Tell whether a gradient will be asked for, so that the plain operators do not suffice."""
    wants = x.requires_grad or (offsets is not None and offsets.requires_grad)
    return wants and torch.is_grad_enabled() and not _is_traced()


def _offsets(shift: Shift) -> tuple[Tensor, ...]:
    """Return the offsets of `shift`, constant while a tracer watches, so that exports fold them."""
    offsets = shift.shift_parameters()
    if not _is_traced():
        return offsets
    with warnings.catch_warnings():
        # A constant is what we want.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        return tuple(torch.from_numpy(o.detach().cpu().numpy()).to(o.device) for o in offsets)


def _is_traced() -> bool:
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined,no-untyped-call]


def _bilinear_taps(x: Tensor, dy: Tensor, dx: Tensor) -> tuple[Tensor, Tensor]:
    """Return the taps of rows and of columns that move `x` by real offsets."""
    low, high = torch.aminmax(torch.floor(torch.stack((dy.detach(), dx.detach()))), dim=1)
    reach = torch.maximum(-low, high + 1).tolist()
    return (
        _linear(dy.detach(), min(int(reach[0]), x.shape[2] - 1)),
        _linear(dx.detach(), min(int(reach[1]), x.shape[3] - 1)),
    )


def _rounded_taps(x: Tensor, dy: Tensor, dx: Tensor) -> tuple[Tensor, Tensor]:
    """Return the taps of rows and of columns that move `x` by rounded offsets."""
    offsets = _round(torch.stack((dy.detach(), dx.detach())))
    reach = offsets.abs().amax(1).tolist()
    return (
        _taps(offsets[0], min(int(reach[0]), x.shape[2] - 1)),
        _taps(offsets[1], min(int(reach[1]), x.shape[3] - 1)),
    )


def _round(offsets: Tensor) -> Tensor:
    """Round half away from zero, as C does."""
    return offsets.sign() * torch.floor(offsets.abs() + 0.5)


def _taps(offsets: Tensor, reach: int) -> Tensor:
    """Return (C, 2*reach+1): 1 at the integer offset, or nowhere if that is beyond the map."""
    positions = torch.arange(-reach, reach + 1, device=offsets.device)
    return (offsets[:, None] == positions).to(offsets.dtype)


def _linear(offsets: Tensor, reach: int) -> Tensor:
    """Return (C, 2*reach+1): the two weights of linear interpolation at their places."""
    floor = torch.floor(offsets)
    fraction = (offsets - floor)[:, None]
    return _taps(floor, reach) * (1 - fraction) + _taps(floor + 1, reach) * fraction


def _slope(offsets: Tensor, reach: int) -> Tensor:
    """Return (C, 2*reach+1): the derivative of `_linear`, on integers that from the right."""
    floor = torch.floor(offsets)
    return _taps(floor + 1, reach) - _taps(floor, reach)


def _outer(rows: Tensor, columns: Tensor) -> Tensor:
    """Return the depthwise kernel (C, 1, K_rows, K_columns) of taps (C, K)."""
    return (rows[:, :, None] * columns[:, None, :])[:, None]


def _place(x: Tensor, rows: Tensor, columns: Tensor, stride: int = 1) -> Tensor:
    """Convolve each channel with the outer product of its taps: whole, or columns then rows."""
    if max(rows.shape[1], columns.shape[1]) <= WHOLE_KERNEL:
        return _depthwise(x, _outer(rows, columns), (stride, stride))
    across = _depthwise(x, columns[:, None, None, :], (1, stride))
    return _depthwise(across, rows[:, None, :, None], (stride, 1))


def _unplace(grad: Tensor, rows: Tensor, columns: Tensor, x: Tensor, stride: int = 1) -> Tensor:
    """Return the gradient of `_place` with respect to `x`."""
    if stride == 1:
        return _place(grad, rows.flip(1), columns.flip(1))
    kernel = _outer(rows, columns).to(grad.dtype)
    padding = kernel.shape[2] // 2, kernel.shape[3] // 2
    rest = (x.shape[2] - 1) % stride, (x.shape[3] - 1) % stride
    return F.conv_transpose2d(grad, kernel, None, stride, padding, rest, kernel.shape[0])


def _depthwise(
    x: Tensor, kernel: Tensor, stride: tuple[int, int] = (1, 1), dilation: int = 1
) -> Tensor:
    padding = dilation * (kernel.shape[2] // 2), dilation * (kernel.shape[3] // 2)
    return F.conv2d(x, kernel.to(x.dtype), None, stride, padding, dilation, kernel.shape[0])
