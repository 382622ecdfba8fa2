"""The way in: what stands between the image and the first block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from .cost import Cost, conv_cost, move_cost, norm_cost, shrink
from .errors import SpecError
from .layers import Activation, activation, conv

if TYPE_CHECKING:
    from .block import Site


@dataclass(frozen=True)
class Stem:
    """A convolution, with or without norm and activation, and an optional 3x3 max pool of stride 2.

    Source: the first rows of the six networks' tables. MobileNetV2: the defaults; ShuffleNetV2:
    `pool`; ShiftNet: `kernel=7`; AS-ResNet: `norm=False, act="none"`; FE-Net: `act="none"`.

    Attributes:
        width: output channels.
        stride: of the convolution; the pool halves once more.
        kernel: side of the convolution's kernel.
        act: activation after the norm.
        norm: whether a batch norm follows the convolution.
        pool: whether a max pool closes the stem.
    """

    width: int
    stride: int = 2
    kernel: int = 3
    act: Activation = "relu6"
    norm: bool = True
    pool: bool = False

    def __post_init__(self) -> None:
        if self.stride not in (1, 2):
            raise SpecError(f"`stride` (={self.stride}) of a stem must be 1 or 2")
        if self.width < 1:
            raise SpecError(f"`width` (={self.width}) of a stem must be at least 1")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise SpecError(f"`kernel` (={self.kernel}) of a stem must be odd")

    @property
    def total_stride(self) -> int:
        """What the stem divides the image's sides by."""
        return self.stride * (2 if self.pool else 1)

    def cost(self, site: Site) -> Cost:
        """Return what the stem costs at `site`."""
        cost = conv_cost(site.c_in, self.width, self.kernel, site.hw, stride=self.stride)
        if self.norm:
            cost += norm_cost(self.width)
        if self.act == "prelu":
            cost += Cost(params=self.width)
        if self.pool:
            cost += move_cost(self.width, shrink(site.hw, self.stride), stride=2)
        return cost

    def build(self, site: Site) -> nn.Module:
        """Return the module: (B, c_in, H, W) -> (B, width, ceil(H/stride), ceil(W/stride))."""
        layers: list[nn.Module] = [conv(site.c_in, self.width, self.kernel, stride=self.stride)]
        if self.norm:
            layers.append(nn.BatchNorm2d(self.width))
        if self.act != "none":
            layers.append(activation(self.act, self.width))
        if self.pool:
            layers.append(nn.MaxPool2d(3, stride=2, padding=1))
        return nn.Sequential(*layers)
