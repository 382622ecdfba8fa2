"""AS-ResNet unit: 1x1 convolution, active shift, 1x1 convolution.

Source: Jeon & Kim 2018, arXiv:1806.07370, Fig. 3, in the order of the released networks: norm and
ReLU stand before the shift. Departures: the projected shortcut of a strided unit is used wherever
the shape changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from ..block import BLOCKS, Block, Site, knob
from ..cost import Cost, chain, conv_cost, move_cost, norm_cost, squeeze_excite_cost
from ..layers import SqueezeExcite, bn_relu, conv
from ..shift import ActiveShift


@BLOCKS.register("active_shift")
@dataclass(frozen=True)
class ActiveShiftBlock(Block):
    """Residual unit whose channels learn where to look.

    Knobs:
        expand: hidden width over output width.
        se: squeeze-and-excitation of the branch's output, before the shortcut is added.
    """

    expand: int = knob(1, choices=(1, 3, 6))
    se: bool = knob(False, choices=(False, True))

    preactivated: ClassVar[bool] = True

    def cost(self, site: Site) -> Cost:
        """Return what the block costs at `site`."""
        hidden, hw, hw_out = site.c_out * self.expand, site.hw, site.hw_out
        layers = [
            norm_cost(site.c_in) + conv_cost(site.c_in, hidden, 1, hw) + norm_cost(hidden),
            move_cost(hidden, hw, stride=site.stride) + Cost(params=2 * hidden),
            conv_cost(hidden, site.c_out, 1, hw_out),
        ]
        if self.se:
            layers.append(squeeze_excite_cost(site.c_out, hw_out))
        cost = chain(*layers, held=site.elements_in)
        if not site.keeps_shape:
            shortcut = conv_cost(site.c_in, site.c_out, 1, hw, stride=site.stride)
            cost += shortcut.holding(site.c_out * hw_out[0] * hw_out[1])
        return cost

    def build(self, site: Site) -> nn.Module:
        """Return the module."""
        return ShiftResidual(self, site)


class ShiftResidual(nn.Module):
    """The module of `ActiveShiftBlock`."""

    def __init__(self, spec: ActiveShiftBlock, site: Site) -> None:
        super().__init__()
        hidden = site.c_out * spec.expand
        self.act = bn_relu(site.c_in)
        self.branch = nn.Sequential(
            conv(site.c_in, hidden, 1),
            bn_relu(hidden),
            ActiveShift(hidden, site.stride),
            conv(hidden, site.c_out, 1),
            SqueezeExcite(site.c_out) if spec.se else nn.Identity(),
        )
        projects = not site.keeps_shape
        self.shortcut = conv(site.c_in, site.c_out, 1, stride=site.stride) if projects else None

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, ceil(H/stride), ceil(W/stride))."""
        activated = self.act(x)
        y: Tensor = self.branch(activated)
        return y + (x if self.shortcut is None else self.shortcut(activated))
