"""The shifts in PyTorch alone, as depthwise convolutions with kernels made from the offsets.

That is the quickest form on CPU in channels-last, and one that every runtime knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight

if TYPE_CHECKING:
    from collections.abc import Sequence

WHOLE_REACH = 2  # up to this offset one square kernel is as fast as a row and a column

Kernels = list[Tensor]  # a square one, or a column and a row


class Plan(NamedTuple):
    """What is made of offsets to move maps of a size, there and back.

    Args:
        dy: (C,), vertical.
        dx: (C,), horizontal.
        size: height and width of the maps.
        there: moves a map.
        back: the mirrored kernels.
        before: moves a map until the rest of the offsets is below 1, if it is not yet.
        slopes: (2, C, 9), the derivatives of a square kernel by the rest of the offsets.
    """

    dy: Tensor
    dx: Tensor
    size: tuple[int, ...]
    there: Kernels
    back: Kernels
    before: Kernels
    slopes: Tensor


@dataclass
class Pure:
    """The form of shifts for all maps; remembers kernels: at batch 1, making them takes longest.

    Args:
        stride: of the output's grid.
        step: unit of the offsets, 1 if they learn.
        rounded: whether offsets are rounded, half away from zero.
        constant: whether offsets are always the same, so that none need be compared.
    """

    stride: int = 1
    step: int = 1
    rounded: bool = False
    constant: bool = False
    _plan: Plan | None = field(default=None, repr=False, compare=False)

    def place(self, x: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
        """Return the moved map, with kernels of its own: for tracers. Nothing is left of rest."""
        offsets = torch.stack((dy, dx))
        if not any((round_away(offsets) if self.rounded else offsets).flatten().tolist()):
            return x[:, :, :: self.stride, :: self.stride] if self.stride > 1 else x
        return _place(x, self._kernels(offsets, x.shape[2:]), self.stride, self.step)

    def move(self, x: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
        """Return the moved map."""
        return _place(x, self._planned(dy, dx, x.shape).there, self.stride, self.step)

    def back(self, grad: Tensor, dy: Tensor, dx: Tensor, shape: torch.Size) -> Tensor:
        """Return the gradient of a map of `shape` from that of the moved map."""
        plan = self._planned(dy, dx, shape)
        if self.stride == 1:
            return _place(grad, plan.back, step=self.step)
        kernel = plan.there[0] if len(plan.there) == 1 else plan.there[0] * plan.there[1]
        padding = [self.step * (size // 2) for size in kernel.shape[2:]]
        rest = [(size - 1) % self.stride for size in shape[2:]]
        options = self.stride, padding, rest, shape[1], self.step
        grad_x: Tensor = F.conv_transpose2d(grad, kernel.to(grad.dtype), None, *options)
        return grad_x

    def slopes(self, x: Tensor, dy: Tensor, dx: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of the offsets, as if they were not rounded.

        They follow from the gradient of a 3x3 kernel, since larger ones are slow: what is farther
        is moved there before, one row and one column more on each side than the map has. That needs
        two maps, so it is done for half of the images at a time.
        """
        plan = self._planned(dy, dx, x.shape)
        if plan.before:
            kernel = plan.slopes.new_zeros(x.shape[1], 1, 3, 3)
            for part, of_part in zip(x.chunk(2), grad.chunk(2), strict=True):
                part = _place(part, plan.before, margin=1)
                kernel += self._kernel_gradient(part, of_part, padding=0)
        else:
            kernel = self._kernel_gradient(x, grad, padding=1)
        by_y, by_x = (kernel.flatten(1) * plan.slopes).sum(2).unbind()
        return by_y, by_x

    def _kernel_gradient(self, x: Tensor, grad: Tensor, padding: int) -> Tensor:
        shape = x.shape[1], 1, 3, 3
        options = self.stride, padding, 1, x.shape[1]
        gradient: Tensor = conv2d_weight(x, shape, grad, *options)  # type: ignore[no-untyped-call]
        return gradient

    def _planned(self, dy: Tensor, dx: Tensor, shape: torch.Size) -> Plan:
        real = type(dy) in (Tensor, nn.Parameter)  # an exporter's have no values
        size = tuple(shape[2:])
        if real and self._plan is not None and self._fits(self._plan, dy, dx, size):
            return self._plan
        with torch.inference_mode(False):  # what is made in that mode cannot be used in training
            plan = self._make(dy.detach().clone(), dx.detach().clone(), size)
        if real:
            self._plan = plan
        return plan

    def _fits(self, plan: Plan, dy: Tensor, dx: Tensor, size: tuple[int, ...]) -> bool:
        same = plan.size == size and plan.dy.device == dy.device and plan.dy.dtype == dy.dtype
        if self.constant or not same:
            return same
        return torch.equal(plan.dy, dy) and torch.equal(plan.dx, dx)

    def _make(self, dy: Tensor, dx: Tensor, size: tuple[int, ...]) -> Plan:
        offsets, before = torch.stack((dy, dx)), []
        there = self._kernels(offsets, size)
        low, high = torch.aminmax(offsets)
        if not (low >= -1 and high < 1):
            whole = round_away(offsets)
            before = there if self.rounded else taps(whole, size)
            offsets = offsets - whole
        back = [kernel.flip(2, 3) for kernel in there]
        return Plan(dy, dx, size, there, back, before, _square_slopes(offsets))

    def _kernels(self, offsets: Tensor, size: Sequence[int]) -> Kernels:
        limits = [pixels // self.step for pixels in size]  # what is farther reads zeros
        return taps(round_away(offsets) if self.rounded else offsets, limits)


def round_away(offsets: Tensor) -> Tensor:
    """Round half away from zero, as C does."""
    size = offsets.abs()
    whole = size.floor()  # not floor(size + 0.5): adding rounds 0.49999997 up to 1
    return offsets.sign() * (whole + (size - whole >= 0.5))


def square(offsets: Tensor, reach: int) -> Tensor:
    """Return the depthwise kernel (C, 1, 2*reach+1, 2*reach+1) of offsets (2, C)."""
    rows, columns = _hats(offsets, reach)
    kernel: Tensor = rows[:, :, None] * columns[:, None, :]
    return kernel[:, None]


def _square_slopes(offsets: Tensor) -> Tensor:
    """Return (2, C, 9): the derivatives of `square` by offsets below 1, on integers from the right.

    With reach 1, as one by the vertical offsets and one by the horizontal ones.
    """
    places = torch.arange(-1, 2, device=offsets.device)
    floor, (rows, columns) = offsets.floor()[..., None], _hats(offsets, 1)
    down, right = (floor + 1 == places).to(offsets.dtype) - (floor == places).to(offsets.dtype)
    by_y, by_x = down[:, :, None] * columns[:, None, :], rows[:, :, None] * right[:, None, :]
    return torch.stack((by_y, by_x)).flatten(2)


def taps(offsets: Tensor, limits: Sequence[int]) -> Kernels:
    """Return the square kernel of offsets (2, C), or the column and the row, up to the limits."""
    # Not a number moves nothing, but makes the map one: so a training learns that it diverged.
    reaches = offsets.nan_to_num(0.0).abs().amax(1).ceil().tolist()
    reach = [int(min(reach, limit)) for reach, limit in zip(reaches, limits, strict=True)]
    if max(reach) <= WHOLE_REACH:
        return [square(offsets, max(reach))]
    rows, columns = _hats(offsets[0], reach[0]), _hats(offsets[1], reach[1])
    return [rows[:, None, :, None], columns[:, None, None, :]]


def _hats(offsets: Tensor, reach: int) -> Tensor:
    """Return (..., 2*reach+1): the weights of linear interpolation at their places."""
    places = torch.arange(-reach, reach + 1, device=offsets.device, dtype=offsets.dtype)
    weights: Tensor = 1 - (offsets[..., None] - places).abs()
    return weights.clamp(min=0)


def _place(x: Tensor, kernels: Kernels, stride: int = 1, step: int = 1, margin: int = 0) -> Tensor:
    """Convolve each channel with a square kernel, or with a row and a column.

    Zeros are around the map; `margin` more rows and columns on each side are results.
    """
    if len(kernels) == 1:
        return _convolve(x, kernels[0], (stride, stride), step, (margin, margin))
    rows, columns = kernels
    across = _convolve(x, columns, (1, stride), step, (0, margin))
    return _convolve(across, rows, (stride, 1), step, (margin, 0))


def _convolve(
    x: Tensor, kernel: Tensor, stride: tuple[int, int], step: int, margin: tuple[int, int]
) -> Tensor:
    _, _, height, width = kernel.shape
    padding = step * (height // 2) + margin[0], step * (width // 2) + margin[1]
    if kernel.dtype != x.dtype:
        kernel = kernel.to(x.dtype)
    return F.conv2d(x, kernel, None, stride, padding, step, x.shape[1])
