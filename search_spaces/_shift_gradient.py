"""What autograd must know of a shift, whatever form it takes."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Form(Protocol):
    """A way to move maps (B, C, H, W) by offsets (C,), vertical and horizontal; no gradients."""

    def move(self, x: Tensor, dy: Tensor, dx: Tensor) -> Tensor:
        """Return the moved map."""

    def back(self, grad: Tensor, dy: Tensor, dx: Tensor, shape: torch.Size) -> Tensor:
        """Return the gradient of a map of `shape` from that of the moved map."""

    def slopes(self, x: Tensor, dy: Tensor, dx: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of the offsets, as if they were not rounded."""


def moved(form: Form, x: Tensor, dy: Tensor, dx: Tensor, *, normalise: bool = False) -> Tensor:
    """Move `x` by `form`; differentiable once.

    With `normalise`, the gradients of each channel's two offsets are scaled to norm 1.
    """
    if torch.is_grad_enabled() and (x.requires_grad or dy.requires_grad or dx.requires_grad):
        options = form, normalise
        y: Tensor = _Moved.apply(x, dy, dx, *options)  # type: ignore[no-untyped-call]
        return y
    return form.move(x, dy, dx)


class _Moved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dy: Tensor, dx: Tensor, form: Form, normalise: bool) -> Tensor:
        learns = any(ctx.needs_input_grad[1:3])
        ctx.save_for_backward(x if learns else None, dy, dx)
        ctx.shape, ctx.dtype, ctx.form, ctx.normalise = x.shape, x.dtype, form, normalise
        return form.move(x, dy, dx)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, dy, dx = ctx.saved_tensors
        grad = grad.to(ctx.dtype)  # they differ under autocast
        grad_x = by_y = by_x = None
        if x is not None:  # first, for it may need maps that are free before the next is made
            by_y, by_x = ctx.form.slopes(x, dy, dx, grad)
            if ctx.normalise:
                norm = torch.hypot(by_y, by_x)
                norm = torch.where(norm > 0, norm, 1.0)
                by_y, by_x = by_y / norm, by_x / norm
        if ctx.needs_input_grad[0]:
            grad_x = ctx.form.back(grad, dy, dx, ctx.shape)
        return grad_x, by_y, by_x, None, None
