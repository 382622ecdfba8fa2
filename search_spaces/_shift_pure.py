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


class Seen(NamedTuple):
    """Offsets, the size of a map, and the kernels that move it there and back."""

    dy: Tensor
    dx: Tensor
    size: tuple[int, ...]
    there: Kernels
    back: Kernels


@dataclass
class Pure:
    """The form of shifts for all maps; remembers kernels: at batch 1, making them takes longest.

    Args:
        stride: of the output's grid.
        step: unit of the offsets, 1 if they learn.
        rounded: whether offsets are rounded, half away from zero.
    """

    stride: int = 1
    step: int = 1
    rounded: bool = False
    _seen: Seen | None = field(default=None, repr=False, compare=False)

    def place(self, x: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
        """Return the moved map, with kernels of its own: for tracers."""
        return _place(x, self._make(dy, dx, x.shape), self.stride, self.step)

    def move(self, x: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
        """Return the moved map."""
        return _place(x, self._kernels(dy, dx, x.shape).there, self.stride, self.step)

    def back(self, grad: Tensor, dy: Tensor, dx: Tensor, shape: torch.Size) -> Tensor:
        """Return the gradient of a map of `shape` from that of the moved map."""
        kernels = self._kernels(dy, dx, shape)
        if self.stride == 1:
            return _place(grad, kernels.back, step=self.step)
        kernel = kernels.there[0]
        for other in kernels.there[1:]:
            kernel = kernel * other
        padding = [self.step * (size // 2) for size in kernel.shape[2:]]
        rest = [(size - 1) % self.stride for size in shape[2:]]
        kernel = kernel.to(grad.dtype)
        options = self.stride, padding, rest, shape[1], self.step
        grad_x: Tensor = F.conv_transpose2d(grad, kernel, None, *options)
        return grad_x

    def slopes(self, x: Tensor, dy: Tensor, dx: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of the offsets, as if they were not rounded."""
        by_y, by_x = _slopes(x, torch.stack((dy, dx)), grad, self.stride).unbind()
        return by_y, by_x

    def _kernels(self, dy: Tensor, dx: Tensor, shape: torch.Size) -> Seen:
        real = type(dy) in (Tensor, nn.Parameter)  # an exporter's have no values
        size = tuple(shape[2:])
        if real and self._seen is not None and _fits(self._seen, dy, dx, size):
            return self._seen
        with torch.inference_mode(False):  # what is made in that mode cannot be used in training
            there = self._make(dy, dx, shape)
            seen = Seen(dy.clone(), dx.clone(), size, there, [k.flip(2, 3) for k in there])
        if real:
            self._seen = seen
        return seen

    def _make(self, dy: Tensor, dx: Tensor, shape: torch.Size) -> Kernels:
        offsets = torch.stack((dy, dx))
        limits = [(size - 1) // self.step for size in shape[2:]]
        return _kernels_of(round_away(offsets) if self.rounded else offsets, limits)


def _fits(seen: Seen, dy: Tensor, dx: Tensor, size: tuple[int, ...]) -> bool:
    same = seen.size == size and seen.dy.device == dy.device and seen.dy.dtype == dy.dtype
    return same and torch.equal(seen.dy, dy) and torch.equal(seen.dx, dx)


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


def _slopes(x: Tensor, offsets: Tensor, grad: Tensor, stride: int) -> Tensor:
    """Return the gradients (2, C) of the bilinear shift of `x` by `offsets` (2, C).

    They follow from the gradient of a 3x3 kernel, since larger ones are slow: what is farther is
    moved there before, one row and one column more on each side than the map has.
    """
    padding, low, high = 1, *torch.aminmax(offsets)
    if not (low >= -1 and high < 1):
        whole = torch.round(offsets)
        offsets = offsets - whole
        x = _place(x, _kernels_of(whole, x.shape[2:]), margin=1)
        padding = 0
    size = x.shape[1], 1, 3, 3
    kernel = conv2d_weight(x, size, grad, stride, padding, 1, size[0])  # type: ignore[no-untyped-call]
    by_row, by_column = _hats(offsets, 1)
    slope_y, slope_x = _hat_slopes(offsets)
    kernel = kernel[:, 0]
    return torch.stack(
        (
            ((kernel * by_column[:, None, :]).sum(2) * slope_y).sum(1),
            ((kernel * by_row[:, :, None]).sum(1) * slope_x).sum(1),
        )
    )


def _kernels_of(offsets: Tensor, limits: Sequence[int]) -> Kernels:
    """Return the square kernel of offsets (2, C), or the column and the row, up to the limits."""
    # Not a number moves nothing, but makes the map one: so a training learns that it diverged.
    reaches = offsets.abs().amax(1).ceil().nan_to_num(0.0).tolist()
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


def _hat_slopes(offsets: Tensor) -> Tensor:
    """Return (..., 3): the derivative of `_hats` by offsets below 1, on integers from the right."""
    places = torch.arange(-1, 2, device=offsets.device)
    floor = torch.floor(offsets)[..., None]
    return (floor + 1 == places).to(offsets.dtype) - (floor == places).to(offsets.dtype)


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
    sizes = zip(kernel.shape[2:], margin, strict=True)
    padding = [step * (size // 2) + more for size, more in sizes]
    return F.conv2d(x, kernel.to(x.dtype), None, stride, padding, step, x.shape[1])
