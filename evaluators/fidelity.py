"""How much of what a training uses up to a rung, where candidates are compared; plain data.

Importing this module does not import torch; `reduced` does.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from search_spaces.errors import SpecError

from .datasets._splits import stratified

if TYPE_CHECKING:
    from torch import Tensor

    from .data import Images, Split

FIDELITIES = {
    "auto": "epochs, or data if that has more rungs",
    "epochs": "a ninth, a third and all of the epochs",
    "data": "a ninth, a third and all of the training images",
    "resolution": "images of fewer pixels, then all of them",
}
LOWEST = 9  # the lowest rung takes no less than this part of the epochs or the images
FEWEST_IMAGES = 512  # to train on at a rung
SMALLEST_SIDE = 12  # of the images at a rung
_BATCH = 1_024  # images that are resized at once


@dataclass(frozen=True)
class Fidelity:
    """What a training has used when it reaches a rung.

    Attributes:
        epochs: counted from the beginning of the training.
        share: of the training images, in the epochs since the rung before.
        resolution: height of the images in these epochs, the width in proportion; 0 is their own.

    Raises:
        SpecError: a value is out of its range.
    """

    epochs: int
    share: float = 1.0
    resolution: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise SpecError(f"`epochs` (={self.epochs}) of a rung must be at least 1")
        if not 0 < self.share <= 1:
            raise SpecError(f"`share` (={self.share}) of a rung must be above 0 and at most 1")
        if self.resolution < 0:
            raise SpecError(f"`resolution` (={self.resolution}) of a rung must not be negative")

    def epochs_since(self, before: Fidelity) -> float:
        """Return how many epochs on all images, in time, it takes from an earlier rung to this."""
        return (self.epochs - before.epochs) * self.share

    def scaled(self, side: int, whole: int) -> Fidelity:
        """Return what this rung for images of `whole` pixels a side is for those of `side`."""
        if not self.resolution or side == whole:
            return self
        smaller = max(SMALLEST_SIDE, round(self.resolution * side / whole))
        return replace(self, resolution=min(smaller, side))


def rungs(kind: str, epochs: int, *, images: int, side: int, eta: int = 3) -> tuple[Fidelity, ...]:
    """Return the rungs of a training of `epochs` epochs, the whole of it last.

    Each costs about `eta` times as much as the one before. In epochs: a ninth, a third, all of
    them. In data or resolution, every rung has the same number of epochs, on a ninth, a third and
    all of the images, or on images of fewer pixels, a side being at least half of the whole. What
    "auto" takes is epochs, or data if that has more rungs: where epochs are few and long.

    Args:
        kind: what grows, one of `FIDELITIES`.
        epochs: of the whole training.
        images: to train on.
        side: height of the images.
        eta: see above.
    """
    if kind == "auto":
        ladders = (rungs(k, epochs, images=images, side=side, eta=eta) for k in ("epochs", "data"))
        return max(ladders, key=len)
    if kind == "epochs":
        parts = [eta**k for k in range(epochs) if k == 0 or eta**k <= max(LOWEST, eta)]
        steps = sorted({-(-epochs // part) for part in parts})
        return tuple(Fidelity(step) for step in steps)
    if kind == "data":
        least = max(1 / max(LOWEST, eta), FEWEST_IMAGES / images)
        shares = [eta**-k for k in range(epochs) if k == 0 or eta**-k >= least]
        lessons = [Fidelity(1, share) for share in reversed(shares)]
    else:
        sides = [round(side * eta ** (-k / 2)) for k in range(epochs)]
        smaller = [s for s in sides[1:] if s >= max(SMALLEST_SIDE, side / 2)]
        lessons = [Fidelity(1, resolution=s) for s in reversed(smaller)] + [Fidelity(1)]
    return tuple(
        replace(lesson, epochs=-(-epochs * (i + 1) // len(lessons)))
        for i, lesson in enumerate(lessons)
    )


@lru_cache(maxsize=8)
def reduced(images: Images, share: float, resolution: int, seed: int) -> Images:
    """Return `images` as a rung uses them; made once, then shared.

    The training images are a stratified part: with the same seed, a smaller share's are among those
    of a larger one. Resolution changes the validation images, too.
    """
    from .data import Split

    train, val = images.train, images.val
    if share < 1:
        _, index = stratified(train.labels.numpy(), (share,), random.Random(seed))
        train = Split(train.images[index], train.labels[index])
    if resolution and resolution != images.shape[1]:
        train, val = (_resized(split, resolution) for split in (train, val))
    return replace(images, train=train, val=val)


def _resized(split: Split, height: int) -> Split:
    from torch import cat
    from torch.nn.functional import interpolate

    from .data import Split

    width = max(1, round(split.images.shape[3] * height / split.images.shape[2]))

    def smaller(batch: Tensor) -> Tensor:
        return interpolate(batch, (height, width), mode="bilinear", antialias=True)

    batches = split.images.split(_BATCH)  # type: ignore[no-untyped-call]
    return Split(cat([smaller(batch) for batch in batches]), split.labels)
