"""FE-Net block: units between sparse shifts, each reading twice the channels of the one before.

Source: Chen et al. 2019, arXiv:1903.05285, Fig. 12 (block) and 13 (units), after the official code.
Departures: the expansion is relative to a unit's input, as published, where the released code takes
its output; a block may also have one unit; an odd map is pooled to half its side rounded up, where
the released pooling leaves out the last row and column. Those of its shift are in `shift.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..block import BLOCKS, Block, Site, knob
from ..cost import Cost, Size, chain, conv_bn_cost, move_cost, shrink, squeeze_excite_cost
from ..layers import SqueezeExcite, conv_bn
from ..shift import SparseShift


@BLOCKS.register("fe")
@dataclass(frozen=True)
class FE(Block):
    """Fully exploited features: residual units on growing parts of the input, one on all of it.

    Knobs:
        units: number of units; the first reads the last c_in / 2**(units-1) channels.
        expand: hidden width over the width of a unit's input.
        se: squeeze-and-excitation of the last unit's output.
    """

    units: int = knob(3, choices=(2, 3, 4))
    expand: int = knob(6, choices=(3, 6))
    se: bool = knob(False, choices=(False, True))

    @property
    def multiple_of(self) -> int:
        """The input is halved before every unit but the last."""
        return 1 << (self.units - 1)

    def cost(self, site: Site) -> Cost:
        """Return what the block costs at `site`."""
        pixels = site.hw[0] * site.hw[1]
        cost = Cost()
        for width in self.widths(site):
            untouched = (site.c_in - width) * pixels
            unit = self._unit_cost(width, width, site.hw)
            cost += chain(*unit, held=width * pixels).holding(untouched)
        last = self._unit_cost(site.c_in, site.c_out, site.hw, site.stride)
        if self.se:
            last.append(squeeze_excite_cost(site.c_out, site.hw_out))
        return cost + chain(*last)

    def build(self, site: Site) -> nn.Module:
        """Return the module."""
        return FullyExploited(self, site)

    def widths(self, site: Site) -> list[int]:
        """Return the widths of the residual units, in order."""
        return [site.c_in >> k for k in range(self.units - 1, 0, -1)]

    def _unit_cost(self, c_in: int, c_out: int, hw: Size, stride: int = 1) -> list[Cost]:
        hidden = c_in * self.expand
        shift = Cost(params=2 * hidden if stride == 1 else 0)
        return [
            conv_bn_cost(c_in, hidden, 1, hw),
            move_cost(hidden, hw, stride=stride) + shift,
            conv_bn_cost(hidden, c_out, 1, shrink(hw, stride)),
        ]


class FullyExploited(nn.Module):
    """The module of `FE`."""

    def __init__(self, spec: FE, site: Site) -> None:
        super().__init__()
        widths = spec.widths(site)
        self.parts = [*reversed(widths), widths[0] if widths else site.c_in]
        self.units = nn.ModuleList(_unit(width, width, spec.expand) for width in widths)
        self.last = _unit(site.c_in, site.c_out, spec.expand, site.stride)
        self.se = SqueezeExcite(site.c_out) if spec.se else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, ceil(H/stride), ceil(W/stride))."""
        # LiteRT's converter fails on a split that has one part.
        *untouched, y = torch.split_with_sizes(x, self.parts, dim=1) if self.units else (x,)
        for unit in self.units:
            y = torch.cat((untouched.pop(), y + unit(y)), dim=1)
        return self.se(self.last(y))  # type: ignore[no-any-return]


def _unit(c_in: int, c_out: int, expand: int, stride: int = 1) -> nn.Sequential:
    """Return a linear bottleneck around a shift, or around a pooling if it strides."""
    hidden = c_in * expand
    move = SparseShift(hidden) if stride == 1 else nn.AvgPool2d(2, ceil_mode=True)
    return nn.Sequential(
        conv_bn(c_in, hidden, 1, act="relu"), move, conv_bn(hidden, c_out, 1, act="none")
    )
