from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.datasets._splits import Arrays, complete, plan, stratified
from search_spaces.errors import DataError

counts = st.lists(st.integers(3, 40), min_size=2, max_size=6)
seeds = st.integers(0, 2**32)


def labels_of(counts: list[int], seed: int) -> np.ndarray:
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(seed).permutation(labels)


@given(counts, seeds, st.lists(st.floats(0.01, 0.25), min_size=1, max_size=2))
def test_stratified_is_disjoint_complete_and_balanced(counts, seed, shares):
    labels = labels_of(counts, seed)
    parts = stratified(labels, shares, random.Random(seed))
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    for part, share in zip(parts[1:], shares, strict=True):
        got = np.bincount(labels[part], minlength=len(counts))
        assert all(abs(g - share * c) <= 1 and g >= 1 for g, c in zip(got, counts, strict=True))
    assert np.bincount(labels[parts[0]], minlength=len(counts)).min() >= 1


@given(counts, seeds)
def test_stratified_is_decided_by_the_seed(counts, seed):
    labels = labels_of(counts, 0)
    one, two = (stratified(labels, [0.2], random.Random(seed)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_another_seed_splits_otherwise():
    labels = np.repeat([0, 1], 50)
    one, two = (stratified(labels, [0.2], random.Random(seed))[1] for seed in (0, 1))
    assert not np.array_equal(one, two)


def test_the_split_of_seed_0_is_known():
    """A split is part of a published result: it may not change with a release."""
    parts = stratified(np.repeat([0, 1], 10), [0.2], random.Random(0))
    assert parts[1].tolist() == [3, 7, 12, 15]


@given(st.sampled_from(["train", "train test", "train val", "train val test"]), counts, seeds)
def test_plan_never_shares_an_image(given_splits, counts, seed):
    labels = {split: labels_of(counts, i) for i, split in enumerate(given_splits.split())}
    parts = plan(labels, [f"c{i}" for i in range(len(counts))], seed)
    assert sorted(parts) == ["test", "train", "val"]
    places = [(source, i) for source, index in parts.values() for i in index.tolist()]
    assert len(places) == len(set(places)) == len(labels) * sum(counts)


@pytest.mark.parametrize(
    ("given_splits", "sizes"),
    [
        ("train", {"train": 140, "val": 30, "test": 30}),
        ("train test", {"train": 170, "val": 30, "test": 200}),
        ("train val", {"train": 200, "val": 100, "test": 100}),
        ("train val test", {"train": 200, "val": 200, "test": 200}),
    ],
)
def test_shares(given_splits, sizes):
    labels = np.arange(200) % 2
    parts = plan(dict.fromkeys(given_splits.split(), labels), ["a", "b"], seed=0)
    assert {split: len(index) for split, (_, index) in parts.items()} == sizes


def test_complete_leaves_given_splits_alone():
    part = (np.zeros((4, 8, 8, 1), np.uint8), np.array([0, 0, 1, 1]))
    given_arrays = Arrays({"train": part, "val": part, "test": part}, ("a", "b"))
    assert all(piece is part for piece in complete(given_arrays, 0).splits.values())


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"test": [0, 1]}, "a train split is needed, but there is only test"),
        ({"train": [0, 0, 0]}, r"at least 2 classes are needed, found 1: \['cat'\]"),
        (
            {"train": [0, 1] * 3, "test": [0, 0]},
            "class 'dog' is in train and not in test; add images to test or remove the class",
        ),
        ({"train": [0, 0, 0], "test": [0, 1]}, "class 'dog' is in test and not in train"),
        ({"train": [0, 0, 0, 1, 1]}, "at least 3 images of each class, but class 'dog' has 2"),
        (
            {"train": [0, 1], "val": [0, 0, 0, 1]},
            "splitting val needs at least 3 images of each class, but class 'dog' has 1",
        ),
    ],
)
def test_what_cannot_be_split(labels, message):
    arrays = {split: np.array(values) for split, values in labels.items()}
    names = ["cat", "dog"][: 1 + max(int(a.max()) for a in arrays.values())]
    with pytest.raises(DataError, match=message):
        plan(arrays, names, seed=0)
