"""Random crops that become whole images: which box of an image, by seed and place.

Source: Szegedy et al. 2015, arXiv:1409.4842, section 6, as torchvision's RandomResizedCrop has it:
the area uniform from a smallest share to all, the aspect ratio log-uniform from 3:4 to 4:3.
Departure: after ten boxes that do not fit, it is the largest square in the centre.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

_ATTEMPTS = 10
_LONGEST = 4 / 3

Box = tuple[float, float, float, float]  # left, upper, right, lower


@dataclass(frozen=True)
class Crop:
    """The random crops of an epoch: each image has its own, whoever decodes it.

    Args:
        smallest: share of an image's area, above 0 and below 1.
        seed: of the epoch.
    """

    smallest: float
    seed: int

    def box(self, index: int, width: int, height: int) -> Box:
        """Return the box of the image of number `index`, of this size in pixels."""
        rng = random.Random(self.seed << 32 | index)
        for _ in range(_ATTEMPTS):
            area = rng.uniform(self.smallest, 1) * width * height
            ratio = math.exp(rng.uniform(-1, 1) * math.log(_LONGEST))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                left, upper = rng.randint(0, width - w), rng.randint(0, height - h)
                return left, upper, left + w, upper + h
        side = min(width, height)
        left, upper = (width - side) // 2, (height - side) // 2
        return left, upper, left + side, upper + side
