"""ShiftNet unit: 1x1 convolution, grouped shift, 1x1 convolution.

Source: Wu et al. 2017, arXiv:1711.08141, Fig. 4, pre-activated. Departures: the paper has a sum at
equal width and stride 1, and a concatenation with the pooled input at stride 2 and double width.
Here every unit that widens concatenates its input, pooled where it strides, and one that narrows,
or strides without widening, is its branch alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..block import BLOCKS, Block, Site, knob
from ..cost import Cost, chain, conv_cost, move_cost, norm_cost, squeeze_excite_cost
from ..layers import SqueezeExcite, bn_relu, conv
from ..shift import GroupedShift


@BLOCKS.register("csc")
@dataclass(frozen=True)
class CSC(Block):
    """Convolution, shift, convolution.

    Knobs:
        kernel: side of the square of shift directions.
        dilation: length of a shift's step.
        expand: hidden width over the width of the branch's output.
        se: squeeze-and-excitation of the branch's output, before addition or concatenation.
    """

    kernel: int = knob(3, choices=(3, 5))
    dilation: int = knob(1, choices=(1, 2))
    expand: int = knob(1, choices=(1, 2, 3, 4))
    se: bool = knob(False, choices=(False, True))

    preactivated: ClassVar[bool] = True

    def cost(self, site: Site) -> Cost:
        """Return what the block costs at `site`."""
        made, hw, hw_out = _made(site), site.hw, site.hw_out
        hidden = made * self.expand
        layers = [
            norm_cost(site.c_in) + conv_cost(site.c_in, hidden, 1, hw),
            move_cost(hidden, hw) + norm_cost(hidden),
            conv_cost(hidden, made, 1, hw, stride=site.stride),
        ]
        if self.se:
            layers.append(squeeze_excite_cost(made, hw_out))
        concats = made < site.c_out
        cost = chain(*layers, held=site.elements_in if concats or site.keeps_shape else 0)
        if concats and site.stride == 2:
            cost += move_cost(site.c_in, hw, stride=2).holding(made * hw_out[0] * hw_out[1])
        return cost

    def build(self, site: Site) -> nn.Module:
        """Return the module."""
        return ConvShiftConv(self, site)


class ConvShiftConv(nn.Module):
    """The module of `CSC`."""

    def __init__(self, spec: CSC, site: Site) -> None:
        super().__init__()
        made = _made(site)
        hidden = made * spec.expand
        self.branch = nn.Sequential(
            bn_relu(site.c_in),
            conv(site.c_in, hidden, 1),
            GroupedShift(hidden, spec.kernel, spec.dilation),
            bn_relu(hidden),
            conv(hidden, made, 1, stride=site.stride),
            SqueezeExcite(made) if spec.se else nn.Identity(),
        )
        self.adds = site.keeps_shape
        self.concats = made < site.c_out
        self.shortcut = nn.AvgPool2d(3, stride=2, padding=1) if site.stride == 2 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, ceil(H/stride), ceil(W/stride))."""
        y: Tensor = self.branch(x)
        if self.adds:
            return x + y
        return torch.cat((y, self.shortcut(x)), dim=1) if self.concats else y


def _made(site: Site) -> int:
    """Return how many channels the branch makes; the rest is the input."""
    return site.c_out - site.c_in if site.c_out > site.c_in else site.c_out
