"""Layers that several blocks share."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_weight

if TYPE_CHECKING:
    from collections.abc import Callable

Activation = Literal["relu", "relu6", "prelu", "none"]

_ACTIVATIONS: dict[str, Callable[[int], nn.Module]] = {
    "relu": lambda _: nn.ReLU(inplace=True),
    "relu6": lambda _: nn.ReLU6(inplace=True),
    "prelu": lambda channels: Slopes(channels),
    "none": lambda _: nn.Identity(),
}


class Slopes(nn.PReLU):
    """PReLU with one slope a channel, in ONNX graphs without a branch for each element.

    ONNX Runtime's own takes up to ten times as long, by how well it guesses the signs.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        if torch.onnx.is_in_onnx_export() or not isinstance(x, Tensor):
            slopes = self.weight.detach().reshape(1, -1, 1, 1)
            return torch.relu(x) * (1 - slopes) + x * slopes
        return super().forward(x)


def activation(name: Activation, channels: int) -> nn.Module:
    """Return the activation called `name` for maps of `channels` channels."""
    return _ACTIVATIONS[name](channels)


def conv(
    c_in: int, c_out: int, kernel: int, *, stride: int = 1, groups: int = 1, dilation: int = 1
) -> nn.Conv2d:
    """Return a bias-free convolution.

    (B, c_in, H, W) -> (B, c_out, ceil(H/stride), ceil(W/stride)).
    """
    padding = dilation * (kernel // 2)
    if kernel == 1 and stride > 1 and groups == 1:
        return StridedPointwise(c_in, c_out, 1, stride, bias=False)
    return nn.Conv2d(c_in, c_out, kernel, stride, padding, dilation, groups, bias=False)


def conv_bn(
    c_in: int,
    c_out: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    act: Activation = "relu6",
) -> nn.Sequential:
    """Return convolution, batch norm and activation; shapes as in `conv`."""
    layers = [conv(c_in, c_out, kernel, stride=stride, groups=groups), nn.BatchNorm2d(c_out)]
    return nn.Sequential(*layers, *([] if act == "none" else [activation(act, c_out)]))


class StridedPointwise(nn.Conv2d):
    """A bias-free 1x1 convolution that, in training, leaves out pixels before it convolves.

    oneDNN's own gradient writes out of bounds: PyTorch 2.13 on x86, channels-last, two threads,
    fewer than 16 channels, an even side and an odd batch end the process or damage its memory.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, ceil(H/stride), ceil(W/stride))."""
        tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
        if tracing or not isinstance(x, Tensor) or not torch.is_grad_enabled():
            return super().forward(x)
        return F.conv2d(x[:, :, :: self.stride[0], :: self.stride[1]], self.weight)


class DilatedDepthwise(nn.Conv2d):
    """A bias-free depthwise 3x3 convolution with taps `dilation` apart, quick to train on CPU."""

    def __init__(self, channels: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__(
            channels, channels, 3, stride, dilation, dilation, groups=channels, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, ceil(H/stride), ceil(W/stride))."""
        slow = self.stride[0] == 1 < self.dilation[0] and x.requires_grad
        if not slow or torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
            return super().forward(x)
        y: Tensor = _Dilated.apply(x, self.weight, self.dilation[0])  # type: ignore[no-untyped-call]
        return y


class _Dilated(torch.autograd.Function):
    """The input's gradient as a convolution: oneDNN's own takes ten times as long when dilated."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.options = 1, dilation, dilation, weight.shape[0]  # stride, padding, dilation, groups
        return F.conv2d(x, weight, None, *ctx.options)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        grad = grad.to(x.dtype)  # they differ under autocast
        grad_x = F.conv2d(grad, weight.flip(2, 3).to(x.dtype), None, *ctx.options)
        if not ctx.needs_input_grad[1]:
            return grad_x, None, None
        grad_weight = conv2d_weight(x, weight.shape, grad, *ctx.options)  # type: ignore[no-untyped-call]
        return grad_x, grad_weight.to(weight.dtype), None


def bn_relu(channels: int) -> nn.Sequential:
    """Return batch norm and ReLU, the head of a pre-activation unit; shape unchanged."""
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


class SqueezeExcite(nn.Module):
    """Scale each channel by a gate computed from all channels' means.

    Source: Hu et al. 2017, arXiv:1709.01507, Fig. 2. Departures: none.
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.squeeze = nn.Linear(channels, hidden)
        self.excite = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(self.pool(x).flatten(1)))))
        return x * gate[:, :, None, None]


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Interleave `groups` groups of channels: output j*groups+i is input i*(C/groups)+j.

    Source: ShuffleNetV2, arXiv:1807.11164, section 3. (B, C, H, W) -> (B, C, H, W).
    """
    b, c, h, w = x.shape
    # What only poses as a tensor is an exporter's, too.
    if torch.onnx.is_in_onnx_export() or not isinstance(x, Tensor):
        # The form that runtimes know, sizes as constants.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
            c, h, w = int(c), int(h), int(w)
        return x.reshape(-1, groups, c // groups, h, w).transpose(1, 2).reshape(-1, c, h, w)
    last = x.permute(0, 2, 3, 1).reshape(b, h, w, groups, c // groups)
    last = last.transpose(3, 4).reshape(b, h, w, c)  # the only copy
    return last.permute(0, 3, 1, 2)  # (B, C, H, W), still channels-last
