"""Mixup and CutMix: each image of a batch becomes part of one and part of another.

Source: Zhang et al. 2018, arXiv:1710.09412; Yun et al. 2019, arXiv:1905.04899. Departures: where a
recipe asks for both, each batch has one of them, by a coin.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Generator, Tensor

    from .recipe import Recipe


@dataclass(frozen=True, eq=False)
class Mixed:
    """A batch of pixels (B, C, H, W), of which `share` is of `labels` and the rest of `others`."""

    pixels: Tensor
    labels: Tensor
    others: Tensor
    share: float

    def blend(self, of: Callable[[Tensor], Tensor]) -> Tensor:
        """Return what `of` makes of both labels, in their shares."""
        if self.share == 1:
            return of(self.labels)
        return self.share * of(self.labels) + (1 - self.share) * of(self.others)


def mixed(pixels: Tensor, labels: Tensor, recipe: Recipe, generator: Generator) -> Mixed:
    """Mix a batch with itself in another order, if the recipe says so; its shape is kept.

    `generator` is one of the CPU; pixels that are mixed become floats.
    """
    if not recipe.mixup and not recipe.cutmix:
        return Mixed(pixels, labels, labels, 1.0)
    rng = random.Random(int(torch.randint(1 << 62, (), generator=generator)))
    order = torch.randperm(len(pixels), generator=generator).to(pixels.device)
    cut = recipe.cutmix > 0 and (recipe.mixup == 0 or rng.random() < 0.5)
    alpha = recipe.cutmix if cut else recipe.mixup
    share = rng.betavariate(alpha, alpha)
    pixels = pixels.float()
    if cut:
        rows, columns = _box(pixels.shape[2], pixels.shape[3], share, rng)
        whole, pixels = pixels, pixels.clone()
        pixels[:, :, rows, columns] = whole[order][:, :, rows, columns]
        cut_out = (rows.stop - rows.start) * (columns.stop - columns.start)
        share = 1 - cut_out / (pixels.shape[2] * pixels.shape[3])
    else:
        pixels = pixels.lerp(pixels[order], 1 - share)
    return Mixed(pixels, labels, labels[order], share)


def _box(height: int, width: int, share: float, rng: random.Random) -> tuple[slice, slice]:
    """Return rows and columns of a box that leaves `share` of the image; the border may cut it."""
    side = math.sqrt(1 - share)

    def span(length: int) -> slice:
        middle, half = rng.randrange(length), round(side * length / 2)
        return slice(max(0, middle - half), min(length, middle + half))

    return span(height), span(width)
