"""Seeded, stratified splits: which of the given images train, validate and test.

| given | becomes |
|---|---|
| train | 70 % train, 15 % val, 15 % test |
| train, test | val is a share of train |
| train, val | test is one half of val |
| train, val, test | nothing is moved |
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Pixels: TypeAlias = NDArray[np.uint8]  # (N, H, W, C)
Labels: TypeAlias = NDArray[np.int64]
Indices: TypeAlias = NDArray[np.intp]

ALIASES = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
VAL_SHARE = 0.15
FEWEST = 3  # images of a class that can still be parted in three


@dataclass(frozen=True)
class Arrays:
    """Images (N, H, W, C) and labels by split, and the names of the classes."""

    splits: dict[str, tuple[Pixels, Labels]]
    classes: tuple[str, ...]


def complete(arrays: Arrays, seed: int, val_share: float = VAL_SHARE) -> Arrays:
    """Return train, val and test, the missing ones parted off as the table above says.

    Raises:
        DataError: a class is absent from a split or has too few images to be parted.
    """
    labels = {split: part[1] for split, part in arrays.splits.items()}
    parts = plan(labels, arrays.classes, seed, val_share)
    return Arrays(
        {split: _take(arrays.splits[given], index) for split, (given, index) in parts.items()},
        arrays.classes,
    )


def plan(
    labels: Mapping[str, Labels], classes: Sequence[str], seed: int, val_share: float = VAL_SHARE
) -> dict[str, tuple[str, Indices]]:
    """Return for train, val and test the given split they come from and the places in it.

    Raises:
        DataError: a class is absent from a split or has too few images to be parted.
    """
    _check(labels, classes)
    parts = {split: (split, np.arange(len(given))) for split, given in labels.items()}
    new: tuple[str, ...]
    shares: tuple[float, ...]
    match sorted(labels):
        case ["train"]:
            source, new, shares = "train", ("train", "val", "test"), (0.15, 0.15)
        case ["test", "train"]:
            source, new, shares = "train", ("train", "val"), (val_share,)
        case ["train", "val"]:
            source, new, shares = "val", ("val", "test"), (0.5,)
        case _:
            return parts
    _check_counts(labels[source], classes, source)
    pieces = stratified(labels[source], shares, random.Random(seed))
    return parts | {split: (source, piece) for split, piece in zip(new, pieces, strict=True)}


def stratified(labels: Labels, shares: Sequence[float], rng: random.Random) -> list[Indices]:
    """Return the rest and then one part per share: disjoint, complete, sorted index arrays.

    Every class gives each part its share of images, rounded, and at least one.
    """
    parts: list[list[Indices]] = [[] for _ in range(len(shares) + 1)]
    for label in np.unique(labels):
        # Sorting by rng.random() is the one shuffle that Python promises not to change.
        mine = np.array(
            sorted(np.flatnonzero(labels == label), key=lambda _: rng.random()), dtype=np.intp
        )
        counts = [max(1, int(len(mine) * share + 0.5)) for share in shares]
        for part, piece in zip(
            parts[1:] + parts[:1], np.split(mine, np.cumsum(counts)), strict=True
        ):
            part.append(piece)
    return [np.sort(np.concatenate(part)) for part in parts]


def _take(part: tuple[Pixels, Labels], index: Indices) -> tuple[Pixels, Labels]:
    images, labels = part
    return part if len(index) == len(labels) else (images[index], labels[index])


def _check(labels: Mapping[str, Labels], classes: Sequence[str]) -> None:
    if "train" not in labels:
        raise DataError(f"a train split is needed, but there is only {', '.join(sorted(labels))}")
    if len(classes) < 2:
        raise DataError(f"at least 2 classes are needed, found {len(classes)}: {list(classes)}")
    counts = {split: np.bincount(y, minlength=len(classes)) for split, y in labels.items()}
    for split in counts:
        for label in np.flatnonzero(counts[split] == 0).tolist():
            other = next((s for s in counts if counts[s][label]), "`classes`")
            raise DataError(
                f"every class must be in every split, but class {classes[label]!r} is in {other} "
                f"and not in {split}; add images to {split} or remove the class"
            )


def _check_counts(labels: Labels, classes: Sequence[str], split: str) -> None:
    for label, count in enumerate(np.bincount(labels, minlength=len(classes))):
        if count < FEWEST:
            raise DataError(
                f"splitting {split} needs at least {FEWEST} images of each class, but class "
                f"{classes[label]!r} has {count}; add images or give train, val and test yourself"
            )
