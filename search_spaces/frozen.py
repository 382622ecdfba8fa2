"""Networks whose shifts no longer learn: offsets are constants that every runtime knows."""

from __future__ import annotations

import copy

import torch
from torch import nn

from ._shift_pure import round_away, taps
from .shift import Shift

_FAR = (1_024, 1_024)  # an offset beyond every map


def frozen(network: nn.Module) -> nn.Module:
    """Return a copy of `network` in evaluation mode with depthwise convolutions for its shifts.

    A shift whose channels all stay leaves nothing, or only every `stride`-th pixel. Weights are
    contiguous, since some exporters take no others.
    """
    result = copy.deepcopy(network).eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for module in list(result.modules()):
        for name, child in module.named_children():
            if isinstance(child, Shift):
                setattr(module, name, _layers(child))
    return result  # type: ignore[no-any-return]


def _layers(shift: Shift) -> nn.Module:
    """Return the kernel of a shift as a layer, or its row and its column as two."""
    form = shift.pure
    offsets = torch.stack(shift.offsets()).detach()
    offsets = round_away(offsets) if form.rounded else offsets
    if not offsets.any():
        return nn.MaxPool2d(1, form.stride) if form.stride > 1 else nn.Identity()
    kernels = taps(offsets, _FAR)
    strides = [(form.stride, form.stride)]
    if len(kernels) == 2:  # a column and a row; the row goes first, as in training
        kernels, strides = kernels[::-1], [(1, form.stride), (form.stride, 1)]
    layers = []
    for kernel, stride in zip(kernels, strides, strict=True):
        channels, _, height, width = kernel.shape
        padding = form.step * (height // 2), form.step * (width // 2)
        layer = nn.Conv2d(
            channels, channels, (height, width), stride, padding, form.step, channels, bias=False
        )
        layer.weight = nn.Parameter(kernel.clone(), requires_grad=False)
        layers.append(layer)
    return layers[0] if len(layers) == 1 else nn.Sequential(*layers)
