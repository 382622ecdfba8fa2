from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from evaluators.augment import augment, gather, normalise
from evaluators.recipe import Recipe
from tests.evaluators.toy import IMAGES


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def colour_batch(n: int = 64) -> torch.Tensor:
    """(n, 3, 8, 6), channels-last; every pixel of image i is i + 1."""
    return (
        (torch.arange(n) + 1)
        .byte()
        .expand(8, 6, 3, n)
        .permute(3, 2, 0, 1)
        .contiguous(memory_format=torch.channels_last)
    )


@pytest.mark.parametrize("change", [{"crop": 2}, {"flip": True}, {"erase": 0.5}])
def test_augmentation_keeps_what_it_must(change: dict[str, Any], rng: torch.Generator) -> None:
    batch = colour_batch()
    recipe = replace(Recipe(crop=0, flip=False), **change)
    changed = augment(batch, recipe, rng)
    assert changed.shape == batch.shape
    assert changed.dtype == torch.uint8
    assert changed.is_contiguous(memory_format=torch.channels_last)
    # Order is kept: image i shows its own colour or the black from outside, nothing of another.
    assert ((changed == batch) | (changed == 0)).all()
    assert (changed == batch).flatten(1).any(1).all()
    assert torch.equal(batch, colour_batch())


def test_crop_is_one_of_the_shifted_images(rng: torch.Generator) -> None:
    batch = torch.randint(1, 256, (50, 3, 8, 6), dtype=torch.uint8, generator=rng)
    padded = F.pad(batch, (1, 1, 1, 1))
    seen = set()
    for i, moved in enumerate(augment(batch, Recipe(crop=1, flip=False), rng)):
        fits = [
            (y, x)
            for y in range(3)
            for x in range(3)
            if torch.equal(moved, padded[i, :, y : y + 8, x : x + 6])
        ]
        assert len(fits) == 1
        seen.update(fits)
    assert len(seen) == 9


def test_flip_mirrors_about_half_of_the_images(rng: torch.Generator) -> None:
    batch = torch.randint(256, (200, 1, 8, 6), dtype=torch.uint8, generator=rng)
    changed = augment(batch, Recipe(crop=0, flip=True), rng)
    kept = (changed == batch).flatten(1).all(1)
    mirrored = (changed == batch.flip(3)).flatten(1).all(1)
    assert (kept | mirrored).all()
    assert 70 < mirrored.sum() < 130


def test_erased_squares_lie_anywhere_and_have_the_size(rng: torch.Generator) -> None:
    batch = torch.full((500, 1, 8, 8), 9, dtype=torch.uint8)
    holes = augment(batch, Recipe(crop=0, flip=False, erase=0.5), rng) == 0
    assert holes.sum((1, 2, 3)).max() == 16
    assert holes.any(0).all()
    assert torch.equal(holes, (holes.any(3, keepdim=True) & holes.any(2, keepdim=True)))


def test_gather_and_normalise_equal_the_obvious(rng: torch.Generator) -> None:
    index = torch.randperm(250, generator=rng)[:40]
    batch = gather(IMAGES.train.images, index)
    assert torch.equal(batch, IMAGES.train.images[index])
    expected = (batch.double() / 255 - IMAGES.mean[0]) / IMAGES.std[0]
    torch.testing.assert_close(normalise(batch, IMAGES).double(), expected, rtol=1e-5, atol=1e-5)
