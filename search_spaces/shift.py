"""Shift operators: each channel of a map moves by its own offset, and nothing is multiplied.

All follow one rule, `out[h, w] = in[h + dy, w + dx]`, zero outside the map, and all run as a depthwise
convolution with a kernel made from the offsets: the cheapest form on CPU in channels-last, and the one
that every runtime knows.

Sources: grouped, Wu et al. 2017, arXiv:1711.08141 (kernels: shiftnet_cuda_v2); active, Jeon & Kim
2018, arXiv:1806.07370 (layer: Active-Shift); sparse, Chen et al. 2019, arXiv:1903.05285 (layer:
SparseShiftLayer). Departures: the sparse shift's gradient uses a true floor, where the released kernel
truncates negative coordinates, which changes border pixels only.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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
        radius = kernel // 2
        self.register_buffer("kernel", _one_hot(dy, dx, (radius, radius)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        padding = self.dilation * (self.kernel.shape[-1] // 2)
        groups = self.kernel.shape[0]
        return F.conv2d(x, self.kernel, padding=padding, dilation=self.dilation, groups=groups)


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
        if self.normalise and dy.requires_grad:
            dy, dx = _NormalisedGradient.apply(dy, dx)  # type: ignore[no-untyped-call]
        radius = _radius(torch.floor(dy), x.shape[2]), _radius(torch.floor(dx), x.shape[3])
        return _depthwise(x, _bilinear(dy, dx, radius), self.stride)


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
        rounded = _round(dy.detach()), _round(dx.detach())
        if not dy.requires_grad:
            radius = _radius(rounded[0], x.shape[2], 0), _radius(rounded[1], x.shape[3], 0)
            return _depthwise(x, _one_hot(*rounded, radius).to(x.dtype))
        radius = _radius(torch.floor(dy), x.shape[2]), _radius(torch.floor(dx), x.shape[3])
        soft = _bilinear(dy, dx, radius)
        hard = _one_hot(*rounded, radius).to(soft.dtype)
        return _depthwise(x, hard + (soft - soft.detach()))  # value of `hard`, gradient of `soft`

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
    return dy * moves, dx * moves


class _NormalisedGradient(torch.autograd.Function):
    """The identity on two vectors, whose gradients are scaled to norm 1 pair by pair."""

    @staticmethod
    def forward(_: Any, dy: Tensor, dx: Tensor) -> tuple[Tensor, Tensor]:
        return dy.view_as(dy), dx.view_as(dx)

    @staticmethod
    def backward(_: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        norm = torch.hypot(*grads)
        scale = torch.where(norm > 0, 1 / norm, 0.0)
        return grads[0] * scale, grads[1] * scale


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


def _offsets(shift: Shift) -> tuple[Tensor, ...]:
    """Return the offsets of `shift`; as constants while a tracer watches, so that exports fold them."""
    offsets = shift.shift_parameters()
    if not torch.jit.is_tracing():  # type: ignore[no-untyped-call]
        return offsets
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # constants are what we want
        return tuple(torch.from_numpy(o.detach().cpu().numpy()).to(o.device) for o in offsets)


def _radius(offsets: Tensor, side: int, reach: int = 1) -> int:
    """Return the reach of taps at `offsets` to `offsets + reach`, no more than a map of `side` has."""
    low, high = torch.aminmax(offsets.detach())
    return min(max(-int(low), int(high) + reach, 0), side - 1)


def _round(offsets: Tensor) -> Tensor:
    """Round half away from zero, as C does."""
    return offsets.sign() * torch.floor(offsets.abs() + 0.5)


def _taps(offsets: Tensor, radius: int) -> Tensor:
    """Return (C, 2*radius+1): 1 where a tap stands at the integer offset, all 0 if it is out of reach."""
    positions = torch.arange(-radius, radius + 1, device=offsets.device)
    return (offsets[:, None] == positions).to(torch.get_default_dtype())


def _one_hot(dy: Tensor, dx: Tensor, radius: tuple[int, int]) -> Tensor:
    """Return the depthwise kernel (C, 1, 2*radius+1, 2*radius+1) of integer offsets."""
    return (_taps(dy, radius[0])[:, :, None] * _taps(dx, radius[1])[:, None, :])[:, None]


def _bilinear(dy: Tensor, dx: Tensor, radius: tuple[int, int]) -> Tensor:
    """Return the depthwise kernel (C, 1, 2*radius+1, 2*radius+1) of real offsets."""
    rows, columns = _linear(dy, radius[0]), _linear(dx, radius[1])
    return (rows[:, :, None] * columns[:, None, :])[:, None]


def _linear(offsets: Tensor, radius: int) -> Tensor:
    """Return (C, 2*radius+1): the two weights of linear interpolation at their places."""
    floor = torch.floor(offsets.detach())
    fraction = (offsets - floor)[:, None]
    left, right = _taps(floor, radius).to(offsets.dtype), _taps(floor + 1, radius).to(offsets.dtype)
    return left * (1 - fraction) + right * fraction


def _depthwise(x: Tensor, kernel: Tensor, stride: int = 1) -> Tensor:
    padding = kernel.shape[2] // 2, kernel.shape[3] // 2
    return F.conv2d(x, kernel, stride=stride, padding=padding, groups=kernel.shape[0])
