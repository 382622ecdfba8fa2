"""Shift operators: each channel of a map moves by its own offset, and nothing is multiplied.

All follow one rule, `out[h, w] = in[h + dy, w + dx]`, zero outside the map. They run as depthwise
convolutions with kernels made from the offsets, or in C++ where there is a compiler: docs/shifts.md
has the forms that were tried and what they cost.

Sources: grouped, Wu et al. 2017, arXiv:1711.08141 (kernels: shiftnet_cuda_v2); active, Jeon & Kim
2018, arXiv:1806.07370 (layer: Active-Shift); sparse, Chen et al. 2019, arXiv:1903.05285 (layer:
SparseShiftLayer). Departures of the sparse shift: its gradient uses a true floor, where the
released kernel truncates negative coordinates, which changes border pixels only; its penalty is the
paper's L1 term, where the released code has none and decays the offsets like the weights.
"""

from __future__ import annotations

import warnings
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from . import _shift_compiled as compiled
from . import _shift_pure as pure
from .errors import SpecError


class Shift(nn.Module):
    """Base of the shifts: what a training loop must know about their parameters.

    Attributes:
        lr_multiplier: learning rate of the offsets over that of the weights.
    """

    lr_multiplier: ClassVar[float] = 1.0

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

    dy: Tensor
    dx: Tensor
    kernel: Tensor

    def __init__(self, channels: int, kernel: int = 3, dilation: int = 1) -> None:
        super().__init__()
        _check_positive(channels=channels, kernel=kernel, dilation=dilation)
        if kernel % 2 == 0:
            raise SpecError(f"`kernel` (={kernel}) of a shift must be odd")
        self.dilation = dilation
        dy, dx = grouped_offsets(channels, kernel)
        self.register_buffer("dy", dy, persistent=False)
        self.register_buffer("dx", dx, persistent=False)
        self.register_buffer("kernel", pure.one_hot(dy, dx, kernel // 2), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        if _is_traced():
            return pure.depthwise(x, self.kernel, dilation=self.dilation)
        if compiled.usable(x, self.dy):
            return compiled.shift(x, self.dy, self.dx, step=self.dilation, rounded=True)
        return pure.shift_fixed(x, self.kernel, self.dilation)


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
        _check_positive(channels=channels, stride=stride)
        self.stride = stride
        self.normalise = normalise
        self._memory = pure.Memory()
        self.alpha = nn.Parameter(torch.empty(channels).uniform_(-1, 1))  # horizontal
        self.beta = nn.Parameter(torch.empty(channels).uniform_(-1, 1))  # vertical

    def shift_parameters(self) -> tuple[nn.Parameter, ...]:
        """Return the learned offsets: vertical, horizontal."""
        return self.beta, self.alpha

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, ceil(H/stride), ceil(W/stride))."""
        if _is_traced():
            return pure.move(x, *_constant_offsets(self), stride=self.stride)
        offsets, stride, normalise = self.shift_parameters(), self.stride, self.normalise
        if compiled.usable(x, self.beta):
            return compiled.shift(x, *offsets, stride=stride, normalise=normalise)
        return pure.shift(x, *offsets, stride=stride, normalise=normalise, memory=self._memory)


class SparseShift(Shift):
    """Channels move by learned offsets rounded to integers, half away from zero.

    The gradient is that of the bilinear shift at the real offsets. `penalty`, added to the loss,
    draws offsets to zero, where a channel costs nothing.

    Args:
        channels: of the map.
        init: "grouped", the nine directions of a grouped 3x3 shift in contiguous groups; or "ramp",
            offsets from -1 to below 2, as the released code initialises them under Python 3.
    """

    def __init__(self, channels: int, init: Literal["grouped", "ramp"] = "grouped") -> None:
        super().__init__()
        _check_positive(channels=channels)
        if init not in ("grouped", "ramp"):
            raise SpecError(f"`init` (={init!r}) of a shift must be 'grouped' or 'ramp'")
        self._memory = pure.Memory()
        dy, dx = _sparse_init(channels, init)
        self.a = nn.Parameter(dy)  # vertical
        self.b = nn.Parameter(dx)  # horizontal

    def shift_parameters(self) -> tuple[nn.Parameter, ...]:
        """Return the learned offsets: vertical, horizontal."""
        return self.a, self.b

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        if _is_traced():
            return pure.move(x, *_constant_offsets(self), rounded=True)
        if compiled.usable(x, self.a):
            return compiled.shift(x, self.a, self.b, rounded=True)
        return pure.shift(x, self.a, self.b, rounded=True, memory=self._memory)

    def penalty(self, norm: str = "l1") -> Tensor:
        """Return what the displacements add to the loss, before its factor.

        Args:
            norm: "l1", the sum of their absolute values, as in the paper; or "l2", half the sum of
                their squares, whose gradient is that of the released code's weight decay.

        Raises:
            SpecError: another norm.
        """
        if norm == "l1":
            return self.a.abs().sum() + self.b.abs().sum()
        if norm == "l2":
            return (self.a.square().sum() + self.b.square().sum()) / 2
        raise SpecError(f"`norm` (={norm!r}) of a penalty must be 'l1' or 'l2'")

    def unshifted_share(self) -> float:
        """Return the share of the channels that do not move."""
        still = (pure.round_away(self.a.detach()) == 0) & (pure.round_away(self.b.detach()) == 0)
        return float(still.float().mean())


def _check_positive(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise SpecError(f"`{name}` (={value}) of a shift must be at least 1")


def grouped_offsets(channels: int, kernel: int) -> tuple[Tensor, Tensor]:
    """Return the vertical and horizontal steps of a grouped shift, directions interleaved."""
    channel = torch.arange(channels)
    moves = channel < channels // kernel**2 * kernel**2
    dx = channel % kernel - kernel // 2
    dy = channel // kernel % kernel - kernel // 2
    return (dy * moves).float(), (dx * moves).float()


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


def _constant_offsets(shift: Shift) -> tuple[Tensor, ...]:
    """Return the offsets of `shift` as a tracer's constants, so that exports fold them."""
    offsets = shift.shift_parameters()
    with warnings.catch_warnings():
        # A constant is what we want.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        return tuple(torch.from_numpy(o.detach().cpu().numpy()).to(o.device) for o in offsets)


def _is_traced() -> bool:
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined,no-untyped-call]
