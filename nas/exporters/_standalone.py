"""Pieces of the source that `python` writes: each depends on torch alone.

They stand for what training does otherwise, for speed; the file is compared with the network.
"""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003  # as in the file

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """Interleave `groups` groups of channels."""
    b, c, h, w = x.shape
    return x.reshape(b, groups, c // groups, h, w).transpose(1, 2).reshape(b, c, h, w)


def shift(x: Tensor, dy: Tensor, dx: Tensor, stride: int = 1, step: int = 1) -> Tensor:
    """Move each channel: out[h, w] = x[h + step * dy, w + step * dx], zeros around the map.

    That is a depthwise convolution with a column and one with a row, whose taps interpolate
    linearly between the two pixels next to the offset. dy and dx: (channels,).
    """
    channels, height, width = x.shape[1:]
    y_reach = min(int(dy.abs().max().ceil()), height // step)
    x_reach = min(int(dx.abs().max().ceil()), width // step)
    rows = torch.arange(-y_reach, y_reach + 1, device=x.device)
    columns = torch.arange(-x_reach, x_reach + 1, device=x.device)
    column = (1 - (dy[:, None] - rows).abs()).clamp(min=0).reshape(channels, 1, -1, 1)
    row = (1 - (dx[:, None] - columns).abs()).clamp(min=0).reshape(channels, 1, 1, -1)
    x = F.conv2d(x, row, None, (1, stride), (0, step * x_reach), step, channels)
    return F.conv2d(x, column, None, (stride, 1), (step * y_reach, 0), step, channels)


class GroupedShift(nn.Module):
    """Channels move in the kernel * kernel directions of a square in turn; a remainder stays."""

    dy: Tensor
    dx: Tensor

    def __init__(self, channels: int, kernel: int = 3, dilation: int = 1) -> None:
        super().__init__()
        self.dilation = dilation
        channel = torch.arange(channels)
        moves = channel < channels // kernel**2 * kernel**2
        dx = (channel % kernel - kernel // 2) * moves
        dy = (channel // kernel % kernel - kernel // 2) * moves
        self.register_buffer("dy", dy.float(), persistent=False)
        self.register_buffer("dx", dx.float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return shift(x, self.dy, self.dx, step=self.dilation)


class ActiveShift(nn.Module):
    """Channels move by learned real offsets: alpha is horizontal, beta vertical."""

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, ceil(H/stride), ceil(W/stride))."""
        return shift(x, self.beta, self.alpha, self.stride)


class SparseShift(nn.Module):
    """Channels move by learned offsets, rounded half away from zero: a vertical, b horizontal."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.zeros(channels))
        self.b = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return shift(x, self.rounded(self.a), self.rounded(self.b))

    @staticmethod
    def rounded(offsets: Tensor) -> Tensor:
        """Return offsets as whole numbers."""
        whole = offsets.abs().floor()
        return offsets.sign() * (whole + (offsets.abs() - whole >= 0.5))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors or .pt file; no code in it is run."""
    if path.suffix != ".safetensors":
        return torch.load(path, map_location="cpu", weights_only=True)  # type: ignore[no-any-return]
    content = bytearray(path.read_bytes())  # 8 bytes of length, a header in JSON, numbers
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    types = {"F32": torch.float32, "I64": torch.int64}
    weights = {}
    for name, about in header.items():
        first, last = (start + offset for offset in about["data_offsets"])
        numbers = torch.frombuffer(content[first:last], dtype=types[about["dtype"]])
        weights[name] = numbers.reshape(about["shape"])
    return weights
