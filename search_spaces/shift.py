"""Shift operators: each channel of a map moves by its own offset, and nothing is multiplied.

All follow one rule, `out[h, w] = in[h + dy, w + dx]`, zero outside the map. They run as depthwise
convolutions with kernels made from the offsets, or in C++ where there is a compiler: docs/shifts.md
has the forms that were tried and what they cost.

Sources: grouped, Wu et al. 2017, arXiv:1711.08141 (kernels: shiftnet_cuda_v2); active, Jeon & Kim
2018, arXiv:1806.07370 (layer: Active-Shift); sparse, Chen et al. 2019, arXiv:1903.05285 (layer:
SparseShiftLayer). Departures of the sparse shift: it begins as a grouped 3x3 shift, where the
released code divides to a ramp (`init="ramp"`); its gradient uses a true floor, where the released
kernel truncates negative coordinates, which changes border pixels only; its penalty is the
paper's L1 term, where the released code has none and decays the offsets like the weights.
"""

from __future__ import annotations

import warnings
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ._shift_compiled import Compiled, usable
from ._shift_gradient import moved
from ._shift_pure import Pure, round_away
from .errors import SpecError


class Shift(nn.Module):
    """Base of the shifts: how they move a map, and what training must know of their parameters.

    Args:
        stride: of the output's grid.
        step: unit of the offsets.
        rounded: whether offsets are rounded; their gradients remain those of real ones.
        constant: whether offsets are always the same.

    Attributes:
        lr_multiplier: learning rate of the offsets over that of the weights.
        normalise: whether each channel's gradient (vertical, horizontal) is scaled to norm 1.
    """

    lr_multiplier: ClassVar[float] = 1.0
    normalise: bool = False

    def __init__(
        self, *, stride: int = 1, step: int = 1, rounded: bool = False, constant: bool = False
    ) -> None:
        super().__init__()
        self.pure = Pure(stride, step, rounded, constant)
        self._compiled = Compiled(stride, step, rounded)

    def offsets(self) -> tuple[Tensor, Tensor]:
        """Return each channel's offset: vertical, horizontal."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, ceil(H/stride), ceil(W/stride)).

        Raises:
            SpecError: the map has another number of channels, or no pixels; or `torch.export` runs
                this, which hides the offsets that kernels are made from.
        """
        dy, dx = self.offsets()
        if _is_traced() or not isinstance(x, Tensor):  # what poses as one is a tracer's
            return self.pure.place(x, *map(_constant, (dy, dx)))
        shape = x.shape
        if len(shape) != 4 or shape[1] != len(dy) or not shape[2] * shape[3]:
            raise SpecError(f"a shift of {len(dy)} `channels` takes no map of {tuple(shape)}")
        if torch.compiler.is_exporting():
            raise SpecError(
                "`torch.export` cannot see the offsets of a shift: export "
                "`search_spaces.frozen.frozen(network)`, where they are constants"
            )
        form = self._compiled if usable(x, dy) else self.pure
        return moved(form, x, dy, dx, normalise=self.normalise)

    def shift_parameters(self) -> tuple[nn.Parameter, ...]:
        """Return the learned offsets: vertical, horizontal; nothing if they are fixed."""
        return tuple(offset for offset in self.offsets() if isinstance(offset, nn.Parameter))

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

    def __init__(self, channels: int, kernel: int = 3, dilation: int = 1) -> None:
        super().__init__(step=dilation, rounded=True, constant=True)
        _check_positive(channels=channels, kernel=kernel, dilation=dilation)
        if kernel % 2 == 0:
            raise SpecError(f"`kernel` (={kernel}) of a shift must be odd")
        self.channels, self.kernel, self.dilation = channels, kernel, dilation
        dy, dx = grouped_offsets(channels, kernel)
        self.register_buffer("dy", dy, persistent=False)
        self.register_buffer("dx", dx, persistent=False)

    def offsets(self) -> tuple[Tensor, Tensor]:
        """Return each channel's offset: vertical, horizontal."""
        return self.dy, self.dx


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
        _check_positive(channels=channels, stride=stride)
        super().__init__(stride=stride)
        self.channels, self.stride = channels, stride
        self.normalise = normalise
        self.alpha = nn.Parameter(torch.empty(channels).uniform_(-1, 1))  # horizontal
        self.beta = nn.Parameter(torch.empty(channels).uniform_(-1, 1))  # vertical

    def offsets(self) -> tuple[Tensor, Tensor]:
        """Return each channel's offset: vertical, horizontal."""
        return self.beta, self.alpha


class SparseShift(Shift):
    """Channels move by learned offsets rounded to integers, half away from zero.

    The gradient is that of the bilinear shift at the real offsets. `penalty`, added to the loss,
    draws offsets to zero.

    Args:
        channels: of the map.
        init: "grouped", the nine directions of a grouped 3x3 shift in contiguous groups; or "ramp",
            offsets from -1 to below 2, as the released code initialises them under Python 3.
    """

    def __init__(self, channels: int, init: Literal["grouped", "ramp"] = "grouped") -> None:
        super().__init__(rounded=True)
        _check_positive(channels=channels)
        if init not in ("grouped", "ramp"):
            raise SpecError(f"`init` (={init!r}) of a shift must be 'grouped' or 'ramp'")
        self.channels = channels
        dy, dx = _sparse_init(channels, init)
        self.a = nn.Parameter(dy)  # vertical
        self.b = nn.Parameter(dx)  # horizontal

    def offsets(self) -> tuple[Tensor, Tensor]:
        """Return each channel's offset: vertical, horizontal."""
        return self.a, self.b

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
        still = (round_away(self.a.detach()) == 0) & (round_away(self.b.detach()) == 0)
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


def _constant(offsets: Tensor) -> Tensor:
    """Return offsets as a tracer's constant, so that exports fold what is made of them."""
    with warnings.catch_warnings():
        # A constant is what we want.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        return torch.from_numpy(offsets.detach().cpu().numpy()).to(offsets.device)


def _is_traced() -> bool:
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined,no-untyped-call]
