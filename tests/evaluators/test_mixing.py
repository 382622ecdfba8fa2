from __future__ import annotations

import pytest
import torch

from evaluators.mixing import mixed
from evaluators.recipe import Recipe

PIXELS = (torch.arange(16) * 10).byte().expand(1, 12, 12, 16).permute(3, 0, 1, 2)
LABELS = torch.arange(16)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_nothing_is_mixed_by_default() -> None:
    batch = mixed(PIXELS, LABELS, Recipe(), generator := rng())
    assert batch.pixels is PIXELS
    assert batch.share == 1
    assert torch.equal(generator.get_state(), rng().get_state())  # and nothing is drawn


def test_mixup_is_the_mean_of_two_images_in_the_shares_of_their_labels() -> None:
    batch = mixed(PIXELS, LABELS, Recipe(mixup=1.0), rng())
    assert 0 < batch.share < 1
    expected = batch.share * batch.labels * 10 + (1 - batch.share) * batch.others * 10
    torch.testing.assert_close(batch.pixels, expected[:, None, None, None].expand(16, 1, 12, 12))


def test_cutmix_pastes_a_box_whose_area_is_the_share_of_its_label() -> None:
    for seed in range(20):
        batch = mixed(PIXELS, LABELS, Recipe(cutmix=1.0), rng(seed))
        for image, label, other in zip(batch.pixels, batch.labels, batch.others, strict=True):
            own = image == label * 10
            assert ((image == other * 10) | own).all()
            assert label == other or own.float().mean() == pytest.approx(batch.share)
            rows, columns = (~own)[0].nonzero(as_tuple=True)
            assert len(rows) == len(rows.unique()) * len(columns.unique())  # it is a box


def test_both_take_turns() -> None:
    recipe = Recipe(mixup=1.0, cutmix=1.0)
    whole = [
        bool((mixed(PIXELS, LABELS, recipe, rng(s)).pixels % 10 == 0).all()) for s in range(40)
    ]
    assert 8 < sum(whole) < 32


def test_labels_are_blended_in_their_shares() -> None:
    batch = mixed(PIXELS, LABELS, Recipe(mixup=1.0), rng())
    found = batch.blend(lambda labels: labels.float())
    expected = batch.share * LABELS + (1 - batch.share) * batch.others
    torch.testing.assert_close(found, expected.float())
