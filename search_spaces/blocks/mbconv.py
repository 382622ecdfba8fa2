"""MobileNetV2 inverted residual: 1x1 expand, depthwise, linear 1x1 project.

Source: Sandler et al. 2018, arXiv:1801.04381, Fig. 4d. Departures: none.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from ..block import BLOCKS, Block, Site, knob
from ..cost import Cost, chain, conv_bn_cost, squeeze_excite_cost
from ..layers import SqueezeExcite, conv_bn


@BLOCKS.register("mbconv")
@dataclass(frozen=True)
class MBConv(Block):
    """Inverted residual with a linear bottleneck.

    Knobs:
        kernel: side of the depthwise kernel.
        expand: hidden width over input width; 1 drops the expansion.
        se: squeeze-and-excitation of the projected map, before the skip is added.
    """

    kernel: int = knob(3, choices=(3, 5, 7))
    expand: int = knob(6, choices=(1, 3, 6))
    se: bool = knob(False, choices=(False, True))

    def cost(self, site: Site) -> Cost:
        """Return what the block costs at `site`."""
        hidden = site.c_in * self.expand
        layers = [
            conv_bn_cost(hidden, hidden, self.kernel, site.hw, stride=site.stride, groups=hidden),
            conv_bn_cost(hidden, site.c_out, 1, site.hw_out),
        ]
        if self.expand > 1:
            layers.insert(0, conv_bn_cost(site.c_in, hidden, 1, site.hw))
        if self.se:
            layers.append(squeeze_excite_cost(site.c_out, site.hw_out))
        return chain(*layers, held=site.elements_in if site.keeps_shape else 0)

    def build(self, site: Site) -> nn.Module:
        """Return the module."""
        return InvertedResidual(self, site)


class InvertedResidual(nn.Module):
    """The module of `MBConv`."""

    def __init__(self, spec: MBConv, site: Site) -> None:
        super().__init__()
        hidden = site.c_in * spec.expand
        self.expand = conv_bn(site.c_in, hidden, 1) if spec.expand > 1 else nn.Identity()
        self.depthwise = conv_bn(hidden, hidden, spec.kernel, stride=site.stride, groups=hidden)
        self.project = conv_bn(hidden, site.c_out, 1, act="none")
        self.se = SqueezeExcite(site.c_out) if spec.se else nn.Identity()
        self.skip = site.keeps_shape

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, ceil(H/stride), ceil(W/stride))."""
        y: Tensor = self.se(self.project(self.depthwise(self.expand(x))))
        return x + y if self.skip else y
