"""ShuffleNetV2 unit: half of the channels pass, the others are convolved, then both are shuffled.

Source: Ma et al. 2018, arXiv:1807.11164, Fig. 3c (stride 1) and 3d (stride 2); layouts as in
torchvision and in the authors' code, megvii-model's ShuffleNet-Series. Departures: the paper has no
unit that changes the width at stride 1; here it is the two-branch unit of Fig. 3d without its
stride. At stride 2 the width may also stay or fall.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from ..block import BLOCKS, Block, Site, knob
from ..cost import Cost, chain, conv_bn_cost, squeeze_excite_cost
from ..errors import SpecError
from ..layers import SqueezeExcite, channel_shuffle, conv_bn

Layout = Literal["equal", "published"]


@BLOCKS.register("shufflev2")
@dataclass(frozen=True)
class ShuffleV2(Block):
    """Split, convolve one part, concatenate, and shuffle before or after.

    Knobs:
        kernel: side of the depthwise kernels.
        se: squeeze-and-excitation of the main branch's output, before the concatenation.

    Attributes:
        layout: how two branches share the output, and when channels are shuffled. "equal" gives
            each branch half and shuffles after the unit, as torchvision does; "published" gives the
            side branch `c_in` where `c_out` leaves room, and has units that split deal out even and
            odd channels instead, as the authors do.
    """

    kernel: int = knob(3, choices=(3, 5, 7))
    se: bool = knob(False, choices=(False, True))
    layout: Layout = "equal"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layout not in get_args(Layout):
            known = ", ".join(get_args(Layout))
            raise SpecError(f"`layout` (={self.layout!r}) must be one of: {known}")

    @property
    def multiple_of(self) -> int:
        """Two halves."""
        return 2

    def cost(self, site: Site) -> Cost:
        """Return what the block costs at `site`."""
        c_in, mid, hw, hw_out = site.c_in, site.c_out // 2, site.hw, site.hw_out
        side, main = self.split(site)
        read = mid if site.keeps_shape else c_in
        layers = [
            conv_bn_cost(read, mid, 1, hw),
            conv_bn_cost(mid, mid, self.kernel, hw, stride=site.stride, groups=mid),
            conv_bn_cost(mid, main, 1, hw_out),
        ]
        if self.se:
            layers.append(squeeze_excite_cost(main, hw_out))
        cost = chain(*layers).holding(side * hw_out[0] * hw_out[1])
        if site.keeps_shape:
            return cost
        depthwise = conv_bn_cost(c_in, c_in, self.kernel, hw, stride=site.stride, groups=c_in)
        return chain(depthwise, conv_bn_cost(c_in, side, 1, hw_out), held=site.elements_in) + cost

    def split(self, site: Site) -> tuple[int, int]:
        """Return how many channels the side branch and the main branch make."""
        if self.layout == "published" and not site.keeps_shape and site.c_out > site.c_in:
            return site.c_in, site.c_out - site.c_in
        return site.c_out // 2, site.c_out // 2

    def build(self, site: Site) -> nn.Module:
        """Return the module."""
        return Shuffled(self, site)


class Shuffled(nn.Module):
    """The module of `ShuffleV2`."""

    def __init__(self, spec: ShuffleV2, site: Site) -> None:
        super().__init__()
        c_in, mid, kernel, stride = site.c_in, site.c_out // 2, spec.kernel, site.stride
        side, main = spec.split(site)
        self.splits, self.published = site.keeps_shape, spec.layout == "published"
        self.halves = site.c_in // 2, site.c_in // 2
        self.side = (
            nn.Identity()
            if self.splits
            else nn.Sequential(
                conv_bn(c_in, c_in, kernel, stride=stride, groups=c_in, act="none"),
                conv_bn(c_in, side, 1, act="relu"),
            )
        )
        self.main = nn.Sequential(
            conv_bn(mid if self.splits else c_in, mid, 1, act="relu"),
            conv_bn(mid, mid, kernel, stride=stride, groups=mid, act="none"),
            conv_bn(mid, main, 1, act="relu"),
            SqueezeExcite(main) if spec.se else nn.Identity(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, ceil(H/stride), ceil(W/stride))."""
        passed = read = x
        if self.splits and self.published:
            passed, read = x[:, ::2], x[:, 1::2]
        elif self.splits:  # not by `chunk`, whose export computes the halves at run time
            passed, read = x.split_with_sizes(self.halves, dim=1)
        y = torch.cat((self.side(passed), self.main(read)), dim=1)
        return y if self.published else channel_shuffle(y, 2)
