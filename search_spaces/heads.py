"""The way out: from the last block's map to class scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from .cost import Cost, chain, conv_bn_cost, global_pool_cost, linear_cost, norm_cost
from .errors import SpecError
from .layers import Activation, bn_relu, conv_bn

if TYPE_CHECKING:
    from .block import Site


@dataclass(frozen=True)
class Head:
    """An optional last convolution, global average pooling, dropout and a linear classifier.

    Source: the last rows of the six networks' tables. MobileNetV2: `width=1280`; ShuffleNetV2:
    `width=1024, act="relu"`; ESPNetV2: `width=1024, groups=4, depthwise=True, act="prelu"`;
    ShiftNet and AS-ResNet: `width=0`; FE-Net: `width=1380, act="relu"`.

    Attributes:
        width: channels of the 1x1 convolution before pooling; 0 leaves it out.
        groups: groups of that convolution.
        depthwise: whether a depthwise 3x3 convolution precedes it.
        act: activation after each of these convolutions.
        dropout: share of features dropped before the classifier in training.
        bias: whether the classifier has a bias.
    """

    width: int = 0
    groups: int = 1
    depthwise: bool = False
    act: Activation = "relu6"
    dropout: float = 0.2
    bias: bool = True

    def __post_init__(self) -> None:
        if self.width < 0 or self.groups < 1:
            raise SpecError(
                f"`width` (={self.width}) of a head must be at least 0 and `groups` "
                f"(={self.groups}) at least 1"
            )
        if self.width % self.groups:
            raise SpecError(
                f"`width` (={self.width}) of a head must be a multiple of `groups` (={self.groups})"
            )
        if not 0 <= self.dropout < 1:
            raise SpecError(f"`dropout` (={self.dropout}) must lie in [0, 1)")

    def cost(self, site: Site) -> Cost:
        """Return what the head costs at `site`, where `c_out` is the number of classes."""
        layers, features = [], site.c_in
        if self.depthwise:
            layers.append(conv_bn_cost(features, features, 3, site.hw, groups=features))
            layers.append(self._act_cost(features))
        if self.width:
            layers.append(conv_bn_cost(features, self.width, 1, site.hw, groups=self.groups))
            layers.append(self._act_cost(self.width))
            features = self.width
        layers.append(global_pool_cost(features, site.hw))
        return chain(*layers, linear_cost(features, site.c_out, bias=self.bias))

    def build(self, site: Site) -> nn.Module:
        """Return the module: (B, c_in, H, W) -> (B, c_out)."""
        layers: list[nn.Module] = []
        features = site.c_in
        if self.depthwise:
            layers.append(conv_bn(features, features, 3, groups=features, act=self.act))
        if self.width:
            layers.append(conv_bn(features, self.width, 1, groups=self.groups, act=self.act))
            features = self.width
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(self.dropout)]
        return nn.Sequential(*layers, nn.Linear(features, site.c_out, bias=self.bias))

    def _act_cost(self, channels: int) -> Cost:
        return Cost(params=channels if self.act == "prelu" else 0)


@dataclass(frozen=True)
class Tail:
    """The norm and activation that a pre-activation block leaves to its successor."""

    def cost(self, site: Site) -> Cost:
        """Return what the norm costs at `site`."""
        return norm_cost(site.c_in)

    def build(self, site: Site) -> nn.Module:
        """Return the module: (B, c_in, H, W) -> (B, c_in, H, W)."""
        return bn_relu(site.c_in)
