"""ESPNetV2 unit: reduce, dilated depthwise branches summed step by step, merge.

Source: Mehta et al. 2018, arXiv:1811.11431, Fig. 1c and 2 (stride 2). Departures: the reduction has
as many groups as divide its output, which is `branches` at every published width; parameters
that the released model allocates and never uses are left out; the image is pooled a fixed number of
times, known from the site; a strided unit that does not widen makes all channels itself instead of
concatenating the pooled input.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..block import BLOCKS, Block, Site, knob
from ..cost import (
    Cost,
    Size,
    chain,
    conv_bn_cost,
    conv_cost,
    move_cost,
    norm_cost,
    shrink,
    squeeze_excite_cost,
)
from ..errors import SpecError
from ..layers import DilatedDepthwise, Slopes, SqueezeExcite, conv_bn


@BLOCKS.register("eesp")
@dataclass(frozen=True)
class EESP(Block):
    """Extremely efficient spatial pyramid of dilated convolutions.

    Knobs:
        dilation: largest dilation allowed; a branch that wants more takes 1.
        se: squeeze-and-excitation of the merged map, before addition or concatenation.

    Attributes:
        branches: parallel depthwise 3x3 convolutions, and groups of the 1x1 convolutions; no knob,
            for two branches are the same network whatever the dilation.
        image: whether a strided unit adds a projection of the pooled input image.
    """

    branches: int = 4
    dilation: int = knob(4, choices=(2, 3, 4))
    se: bool = knob(False, choices=(False, True))
    image: bool = True

    wants_image: ClassVar[bool] = True

    @property
    def multiple_of(self) -> int:
        """Every branch makes the same number of channels."""
        return self.branches

    @property
    def dilations(self) -> tuple[int, ...]:
        """The dilations of the branches, ascending."""
        wanted = range(1, self.branches + 1)
        return tuple(sorted(d if d <= self.dilation else 1 for d in wanted))

    def cost(self, site: Site) -> Cost:
        """Return what the block costs at `site`."""
        made, hw, hw_out = _made(site), site.hw, site.hw_out
        n, pixels = made // self.branches, hw_out[0] * hw_out[1]
        groups = gcd(self.branches, n)
        layers = [
            conv_bn_cost(site.c_in, n, 1, hw, groups=groups),
            *(
                conv_cost(n, n, 3, hw, stride=site.stride, groups=n).holding(k * n * pixels)
                for k in range(self.branches)
            ),
            norm_cost(made),
            conv_bn_cost(made, made, 1, hw_out, groups=self.branches),
        ]
        if self.se:
            layers.append(squeeze_excite_cost(made, hw_out))
        concats = made < site.c_out
        cost = chain(*layers, held=site.elements_in if concats or site.keeps_shape else 0)
        if concats:
            cost += move_cost(site.c_in, hw, stride=2).holding(made * pixels)
        if self._reads_image(site):
            image = site.image[0] * site.image[1] * site.image[2]
            cost = cost.holding(image) + _image_cost(site).holding(site.c_out * pixels)
        return cost + Cost(params=n + made + site.c_out)  # slopes of the PReLUs

    def build(self, site: Site) -> nn.Module:
        """Return the module, whose `forward` takes the image as second argument."""
        return Pyramid(self, site)

    def _reads_image(self, site: Site) -> bool:
        return self.image and site.stride == 2


class Pyramid(nn.Module):
    """The module of `EESP`."""

    def __init__(self, spec: EESP, site: Site) -> None:
        super().__init__()
        made, branches = _made(site), spec.branches
        n = made // branches
        self.reduce = conv_bn(site.c_in, n, 1, groups=gcd(branches, n), act="prelu")
        self.branches = nn.ModuleList(
            DilatedDepthwise(n, stride=site.stride, dilation=d) for d in spec.dilations
        )
        self.norm = nn.Sequential(nn.BatchNorm2d(made), Slopes(made))
        self.merge = conv_bn(made, made, 1, groups=branches, act="none")
        self.se = SqueezeExcite(made) if spec.se else nn.Identity()
        concats = made < site.c_out
        self.pool = nn.AvgPool2d(3, stride=2, padding=1) if concats else None
        self.image = _image_path(site) if spec._reads_image(site) else None
        self.act = Slopes(site.c_out)
        self.skip = site.keeps_shape

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, ceil(H/stride), ceil(W/stride))."""
        reduced = self.reduce(x)
        maps = [branch(reduced) for branch in self.branches]
        for k in range(1, len(maps)):  # hierarchical fusion removes the gridding of dilation
            maps[k] = maps[k] + maps[k - 1]
        y: Tensor = self.se(self.merge(self.norm(torch.cat(maps, dim=1))))
        if self.skip:
            y = x + y
        if self.pool is not None:
            y = torch.cat((self.pool(x), y), dim=1)
        if self.image is not None:
            y = y + self.image(image)
        return self.act(y)  # type: ignore[no-any-return]


def _made(site: Site) -> int:
    """Return how many channels the pyramid makes; the rest is the pooled input."""
    widens = site.stride == 2 and site.c_out > site.c_in
    return site.c_out - site.c_in if widens else site.c_out


def _image_sizes(site: Site) -> list[Size]:
    """Return the sizes of the image, halved until it matches the output: the last one does."""
    sizes: list[Size] = [site.image[1:]]
    while sizes[-1] != site.hw_out:
        sizes.append(shrink(sizes[-1], 2))
        if sizes[-1] == sizes[-2]:
            raise SpecError(
                f"`image` (={site.image}) cannot be halved to `hw_out` (={site.hw_out})"
            )
    return sizes


def _image_cost(site: Site) -> Cost:
    channels = site.image[0]
    pools = [move_cost(channels, size, stride=2) for size in _image_sizes(site)[:-1]]
    convs = [
        conv_bn_cost(channels, channels, 3, site.hw_out) + Cost(params=channels),
        conv_bn_cost(channels, site.c_out, 1, site.hw_out),
    ]
    return chain(*pools, *convs)


def _image_path(site: Site) -> nn.Sequential:
    channels = site.image[0]
    pools = [nn.AvgPool2d(3, stride=2, padding=1) for _ in _image_sizes(site)[:-1]]
    convs = (
        conv_bn(channels, channels, 3, act="prelu"),
        conv_bn(channels, site.c_out, 1, act="none"),
    )
    return nn.Sequential(*pools, *convs)
