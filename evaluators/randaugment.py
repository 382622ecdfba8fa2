"""RandAugment: some random operations an image, all equally strong.

Source: Cubuk et al. 2020, arXiv:1909.13719, with its 14 operations and their ranges. Departures:
made on whole batches, so each operation takes all images that drew it; geometry is bilinear; what
moves in from outside is black; strengths have a random sign where one makes sense.
"""

from __future__ import annotations

from collections.abc import Callable
from math import radians

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

STRONGEST = 30
Operation = Callable[[Tensor, Tensor], Tensor]
# Each takes floats from 0 to 255, (N, C, H, W), and strengths from -1 to 1, (N,).


def randaugment(batch: Tensor, count: int, magnitude: int, generator: Generator) -> Tensor:
    """Return bytes (B, C, H, W) after `count` operations an image; shape and order unchanged.

    Args:
        batch: channels-last, as the result is.
        count: operations an image.
        magnitude: their strength, from 0 to `STRONGEST`.
        generator: one of the CPU.
    """
    images, operations = batch.float(), list(OPERATIONS.values())
    for _ in range(count):
        drawn = torch.randint(len(operations), (len(images),), generator=generator)
        signs = torch.randint(2, (len(images),), generator=generator) * 2 - 1
        strengths = (signs * magnitude / STRONGEST).to(images.device)
        for number, operation in enumerate(operations):
            index = (drawn == number).nonzero()[:, 0].to(images.device)
            if len(index):
                changed = operation(images[index], strengths[index])
                images[index] = changed.clamp(0, 255)
    return images.round_().byte().contiguous(memory_format=torch.channels_last)


def _identity(images: Tensor, _: Tensor) -> Tensor:
    return images


def _moved(images: Tensor, rows: tuple[tuple[Tensor, ...], tuple[Tensor, ...]]) -> Tensor:
    """Sample each image where an affine map of pixels, x before y, about its centre, leads."""
    height, width = images.shape[2:]
    (a, b, x), (c, d, y) = rows
    # From pixels to the units of affine_grid, in which either side is 2 long.
    units = torch.stack(
        [
            torch.stack([a, b * height / width, 2 * x / width], 1),
            torch.stack([c * width / height, d, 2 * y / height], 1),
        ],
        1,
    )  # (N, 2, 3)
    grid = F.affine_grid(units, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def _shear_x(images: Tensor, strength: Tensor) -> Tensor:
    one, zero = torch.ones_like(strength), torch.zeros_like(strength)
    return _moved(images, ((one, 0.3 * strength, zero), (zero, one, zero)))


def _shear_y(images: Tensor, strength: Tensor) -> Tensor:
    one, zero = torch.ones_like(strength), torch.zeros_like(strength)
    return _moved(images, ((one, zero, zero), (0.3 * strength, one, zero)))


def _translate_x(images: Tensor, strength: Tensor) -> Tensor:
    one, zero = torch.ones_like(strength), torch.zeros_like(strength)
    reach = 0.45 * images.shape[3] * strength
    return _moved(images, ((one, zero, reach), (zero, one, zero)))


def _translate_y(images: Tensor, strength: Tensor) -> Tensor:
    one, zero = torch.ones_like(strength), torch.zeros_like(strength)
    reach = 0.45 * images.shape[2] * strength
    return _moved(images, ((one, zero, zero), (zero, one, reach)))


def _rotate(images: Tensor, strength: Tensor) -> Tensor:
    angle, zero = radians(30) * strength, torch.zeros_like(strength)
    cos, sin = angle.cos(), angle.sin()
    return _moved(images, ((cos, -sin, zero), (sin, cos, zero)))


def _towards(images: Tensor, other: Tensor, strength: Tensor) -> Tensor:
    """Move away from `other` by up to 90 % of the difference, or towards it."""
    return other + (images - other) * (1 + 0.9 * strength)[:, None, None, None]


def _brightness(images: Tensor, strength: Tensor) -> Tensor:
    return _towards(images, torch.zeros_like(images), strength)


def _grey(images: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 1, H, W)."""
    if images.shape[1] != 3:
        return images.mean(1, keepdim=True)
    weights = images.new_tensor([0.299, 0.587, 0.114])  # ITU-R BT.601
    return (images * weights[:, None, None]).sum(1, keepdim=True)


def _color(images: Tensor, strength: Tensor) -> Tensor:
    return _towards(images, _grey(images), strength)


def _contrast(images: Tensor, strength: Tensor) -> Tensor:
    return _towards(images, _grey(images).mean((2, 3), keepdim=True), strength)


def _sharpness(images: Tensor, strength: Tensor) -> Tensor:
    channels = images.shape[1]
    kernel = images.new_ones(3, 3)
    kernel[1, 1] = 5
    smooth = images.clone()  # the border stays as it is
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(
        images, (kernel / 13).expand(channels, 1, 3, 3), groups=channels
    )
    return _towards(images, smooth, strength)


def _posterize(images: Tensor, strength: Tensor) -> Tensor:
    """Keep the 8 to 4 highest bits."""
    steps = 2 ** (4 * strength.abs()).round()[:, None, None, None]
    return (images.round() / steps).floor() * steps


def _solarize(images: Tensor, strength: Tensor) -> Tensor:
    threshold = 255 * (1 - strength.abs())[:, None, None, None]
    return torch.where(images >= threshold, 255 - images, images)


def _autocontrast(images: Tensor, _: Tensor) -> Tensor:
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    stretched = (images - low) * 255 / (high - low).clamp(min=1)
    return torch.where(high > low, stretched, images)


def _equalize(images: Tensor, _: Tensor) -> Tensor:
    """Make the grey levels of each channel equally frequent, as Pillow does."""
    levels = images.round().long().flatten(2)  # (N, C, H W)
    counts = levels.new_zeros(*levels.shape[:2], 256)
    counts.scatter_add_(2, levels, torch.ones_like(levels))
    brightest = counts.gather(2, levels.amax(2, keepdim=True))
    step = (levels.shape[2] - brightest) // 255  # (N, C, 1)
    table = (counts.cumsum(2) - counts + step // 2) // step.clamp(min=1)
    equal = table.clamp(max=255).gather(2, levels).view_as(images).to(images.dtype)
    return torch.where(step[..., None] > 0, equal, images)


OPERATIONS: dict[str, Operation] = {
    "identity": _identity,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "rotate": _rotate,
    "solarize": _solarize,
    "color": _color,
    "posterize": _posterize,
    "contrast": _contrast,
    "brightness": _brightness,
    "sharpness": _sharpness,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}
