from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from evaluators.accuracy import Accuracy
from evaluators.checkpoint import write_checkpoint
from evaluators.fidelity import FIDELITIES, Fidelity, reduced, rungs
from evaluators.training import train, train_to_rung
from search_spaces.errors import SpecError
from search_spaces.shift import SparseShift
from tests.evaluators.toy import IMAGES, RECIPE, fingerprint, toy_images, toy_network

LADDERS = {
    "epochs": (Fidelity(1), Fidelity(3)),
    "data": (Fidelity(1, 0.5), Fidelity(2)),
    "resolution": (Fidelity(1, resolution=6), Fidelity(2)),
}


@pytest.mark.parametrize(
    ("kind", "epochs", "expected"),
    [
        ("epochs", 1, [(1, 1, 0)]),
        ("epochs", 4, [(1, 1, 0), (2, 1, 0), (4, 1, 0)]),
        ("epochs", 50, [(6, 1, 0), (17, 1, 0), (50, 1, 0)]),
        ("data", 9, [(3, 1 / 9, 0), (6, 1 / 3, 0), (9, 1, 0)]),
        ("data", 2, [(1, 1 / 3, 0), (2, 1, 0)]),
        ("resolution", 4, [(2, 1, 16), (4, 1, 0)]),
        ("auto", 3, [(1, 1 / 9, 0), (2, 1 / 3, 0), (3, 1, 0)]),
        ("auto", 4, [(1, 1, 0), (2, 1, 0), (4, 1, 0)]),
    ],
)
def test_rungs_in_each_quantity(
    kind: str, epochs: int, expected: list[tuple[float, float, int]]
) -> None:
    found = rungs(kind, epochs, images=8_000, side=28)
    assert [(r.epochs, r.share, r.resolution) for r in found] == expected


@given(
    st.sampled_from([*FIDELITIES]),
    st.integers(1, 100),
    st.integers(20, 100_000),
    st.integers(8, 300),
    st.integers(2, 20),
)
def test_rungs_grow_to_the_whole_training(
    kind: str, epochs: int, images: int, side: int, eta: int
) -> None:
    found = rungs(kind, epochs, images=images, side=side, eta=eta)
    assert found[-1] == Fidelity(epochs)
    for low, high in pairwise(found):
        assert low.epochs < high.epochs
        assert low.share <= high.share
        assert low.resolution < (high.resolution or side) or kind != "resolution"


def test_a_rung_says_what_it_takes_from_another() -> None:
    low, middle, whole = rungs("data", 9, images=54_000, side=28)
    assert middle.epochs_since(low) == pytest.approx(1)  # three epochs on a third
    assert whole.epochs_since(middle) == pytest.approx(3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, r"`epochs` \(=0\) of a rung"),
        ({"epochs": 1, "share": 1.5}, r"`share` \(=1.5\) of a rung"),
        ({"epochs": 1, "resolution": -1}, r"`resolution` \(=-1\) of a rung"),
    ],
)
def test_a_fidelity_refuses_what_cannot_be(values: dict[str, float], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Fidelity(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("resolution", "side", "scaled"),
    [(16, 28, 16), (16, 56, 32), (16, 24, 14), (16, 20, 12), (16, 10, 10), (0, 20, 0)],
)
def test_a_rung_keeps_its_proportion_to_an_architectures_resolution(
    resolution: int, side: int, scaled: int
) -> None:
    rung = Fidelity(2, share=0.5, resolution=resolution)
    assert rung.scaled(side, 28) == replace(rung, resolution=scaled)


def test_a_smaller_share_is_part_of_a_larger_one_and_stratified() -> None:
    def kept(share: float, seed: int = 0) -> set[bytes]:
        return {image.numpy().tobytes() for image in reduced(IMAGES, share, 0, seed).train.images}

    assert kept(0.1) < kept(0.3) < kept(1)
    assert kept(0.3) != kept(0.3, seed=1)
    part = reduced(IMAGES, 0.3, 0, 0)
    whole = torch.bincount(IMAGES.train.labels) * 0.3
    assert (torch.bincount(part.train.labels) - whole).abs().max() <= 0.5
    assert part.val is IMAGES.val


def test_resolution_changes_the_images_to_train_and_validate_on() -> None:
    images = toy_images(8, 4)
    small = reduced(images, 1, 4, 0)
    assert small.train.images.shape == (8, 1, 4, 4)
    assert small.val.images.shape == (4, 1, 4, 4)
    assert small.train.images.dtype == torch.uint8
    assert small.train.images.is_contiguous(memory_format=torch.channels_last)
    mean = images.train.images.float().mean()
    assert (small.train.images.float().mean() - mean).abs() < 2
    assert reduced(images, 1, 8, 0).train is images.train  # its own size


@pytest.mark.parametrize("kind", LADDERS)
def test_going_on_from_a_rung_equals_not_having_paused(kind: str, tmp_path: Path) -> None:
    ladder, file = LADDERS[kind], tmp_path / "c" / "x.pt"
    whole = list(train_to_rung(straight := toy_network(), IMAGES, RECIPE, ladder))
    first = list(train_to_rung(toy_network(), IMAGES, RECIPE, ladder[:1], checkpoint=file))
    rest = list(train_to_rung(paused := toy_network(), IMAGES, RECIPE, ladder, checkpoint=file))
    assert [r.epoch for r in rest] == list(range(2, ladder[-1].epochs + 1))
    accuracies = [(r.epoch, r.loss, r.accuracy) for r in [*first, *rest]]
    assert accuracies == [(r.epoch, r.loss, r.accuracy) for r in whole]
    assert fingerprint(paused) == fingerprint(straight)


def test_offsets_are_frozen_in_the_second_half_of_the_whole_training() -> None:
    shift = SparseShift(9)
    layers = (nn.Conv2d(1, 9, 1), shift, nn.Conv2d(9, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    ladder = (Fidelity(2), Fidelity(4), Fidelity(8))
    recipe = replace(RECIPE, epochs=8, shift_penalty=1e-3)
    seen = [shift.a.detach().clone()]
    for _ in train_to_rung(nn.Sequential(*layers), IMAGES, recipe, ladder):
        seen.append(shift.a.detach().clone())
    still = [torch.equal(before, after) for before, after in pairwise(seen)]
    assert still == [False] * 4 + [True] * 4


def test_averaged_weights_have_the_offsets_that_the_weights_were_trained_with() -> None:
    shift = SparseShift(9)
    layers = (nn.Conv2d(1, 9, 1), shift, nn.Conv2d(9, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    recipe = replace(RECIPE, epochs=4, shift_penalty=1e-2, ema_decay=0.999)
    seen = [shift.a.detach().clone() for _ in train(nn.Sequential(*layers), IMAGES, recipe)]
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(seen[2], seen[3])


def test_a_training_with_one_rung_is_a_training() -> None:
    list(train(plain := toy_network(), IMAGES, RECIPE))
    list(train_to_rung(laddered := toy_network(), IMAGES, RECIPE, (Fidelity(RECIPE.epochs),)))
    assert fingerprint(plain) == fingerprint(laddered)


@pytest.mark.parametrize(
    "damage", ["junk", "another recipe", "another network", "other rungs", "too far"]
)
def test_a_checkpoint_that_does_not_fit_is_trained_again(damage: str, tmp_path: Path) -> None:
    ladder, file = LADDERS["data"], tmp_path / "x.pt"  # to two of the recipe's three epochs
    recipe, rungs = RECIPE, ladder[:1]
    if damage == "another recipe":
        recipe = replace(RECIPE, lr=0.1)
    if damage == "other rungs":
        rungs = (Fidelity(2),)
    if damage == "too far":  # written before a kill, and nobody was told
        rungs = ladder
    list(train_to_rung(toy_network(), IMAGES, recipe, rungs, checkpoint=file))
    if damage == "junk":
        file.write_text("junk")
    if damage == "another network":
        state = torch.load(file, weights_only=True)
        state["network"].popitem()
        write_checkpoint(file, state)
    results = train_to_rung(network := toy_network(), IMAGES, RECIPE, ladder, checkpoint=file)
    assert [result.epoch for result in results] == [1, 2]
    list(train_to_rung(anew := toy_network(), IMAGES, RECIPE, ladder))
    assert fingerprint(network) == fingerprint(anew)


def test_evaluators_with_rungs_are_still_plain_data() -> None:
    evaluator = Accuracy(rungs=LADDERS["data"], checkpoint=Path("x.pt"))
    assert hash(evaluator) == hash(replace(evaluator))
