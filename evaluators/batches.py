"""An epoch's batches: which images in which order, and the randomness of the epoch."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Generator, Tensor

from .crops import Crop
from .recipe import steps_per_epoch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .data import Split
    from .ranks import Ranks
    from .recipe import Recipe


class Batch(NamedTuple):
    """Bytes (B, C, H, W), labels (B,), and what its mean counts in that of all processes."""

    pixels: Tensor
    labels: Tensor
    weight: float


@contextmanager
def epoch_batches(
    train: Split, recipe: Recipe, epoch: int, ranks: Ranks, device: torch.device
) -> Iterator[tuple[Iterator[Batch], Generator]]:
    """Lend the batches of an epoch, and what draws their random changes.

    All of it follows from the recipe's seed, the epoch and the process. What dropout draws from is
    seeded meanwhile; the caller's randomness is kept.
    """
    generator = Generator().manual_seed(recipe.seed << 20 | epoch)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(torch.randint(1 << 62, (), generator=generator)))
        order = torch.randperm(len(train), generator=generator)
        if not ranks.first:  # the same order, but random changes of its own
            generator.manual_seed(generator.initial_seed() | ranks.rank << 52)
            torch.manual_seed(torch.initial_seed() + ranks.rank)
        yield _batches(train, recipe, epoch, ranks, order), generator


def _batches(
    train: Split, recipe: Recipe, epoch: int, ranks: Ranks, order: Tensor
) -> Iterator[Batch]:
    whole = order.tensor_split(steps_per_epoch(len(train), recipe.batch))
    parts = [ranks.part(index) for index in whole]
    smallest = recipe.resized_crop
    crop = Crop(smallest, recipe.seed << 20 | epoch) if smallest else None
    for all_, part, pixels in zip(whole, parts, train.batches(parts, crop), strict=True):
        yield Batch(pixels, train.labels[part], len(part) * ranks.size / len(all_))
