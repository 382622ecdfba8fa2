"""From gathered bytes to what a network sees; random changes are made to a whole batch at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from .randaugment import randaugment

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from .data import Images
    from .recipe import Recipe


def gather(images: Tensor, index: Tensor) -> Tensor:
    """(N, C, H, W) and (B,) -> (B, C, H, W), channels-last like `images`."""
    return images.permute(0, 2, 3, 1).index_select(0, index).permute(0, 3, 1, 2)


def normalise(batch: Tensor, images: Images) -> Tensor:
    """Return bytes as floats, mean 0 and deviation 1 over the training images; shape unchanged."""
    mean, std = (
        torch.tensor(values, device=batch.device)[:, None, None] * 255
        for values in (images.mean, images.std)
    )
    return batch.float().sub_(mean).div_(std)


def augment(batch: Tensor, recipe: Recipe, generator: Generator) -> Tensor:
    """Move, mirror, distort and cut each image of bytes by itself; shape, type, order unchanged.

    What moves in from outside, and what is cut out, is black.
    """
    if recipe.crop:
        batch = _crop(batch, recipe.crop, generator)
    if recipe.flip:
        mirrored = torch.rand(len(batch), 1, 1, 1, generator=generator) < 0.5
        batch = torch.where(mirrored.to(batch.device), batch.flip(3), batch)
    if recipe.randaugment:
        batch = randaugment(batch, recipe.randaugment, recipe.magnitude, generator)
    if recipe.erase:
        batch = batch * ~_squares(batch, recipe.erase, generator)
    return batch


def _crop(batch: Tensor, reach: int, generator: Generator) -> Tensor:
    b, _, h, w = batch.shape
    top, left = torch.randint(2 * reach + 1, (2, b), generator=generator).to(batch.device)
    padded = F.pad(batch, (reach,) * 4)
    windows = padded.unfold(2, h, 1).unfold(3, w, 1)  # (B, C, 2 reach + 1, 2 reach + 1, H, W)
    moved = windows.permute(0, 2, 3, 4, 5, 1)[torch.arange(b, device=batch.device), top, left]
    return moved.permute(0, 3, 1, 2)  # (B, H, W, C) -> (B, C, H, W)


def _squares(batch: Tensor, side: float, generator: Generator) -> Tensor:
    """Return (B, 1, H, W): true in one square an image, whose centre lies anywhere."""
    b, _, h, w = batch.shape
    centre = torch.rand(2, b, 1, generator=generator)
    rows = (torch.arange(h) + 0.5 - centre[0] * h).abs() < side * h / 2  # (B, H)
    columns = (torch.arange(w) + 0.5 - centre[1] * w).abs() < side * w / 2  # (B, W)
    return (rows[:, None, :, None] & columns[:, None, None, :]).to(batch.device)
