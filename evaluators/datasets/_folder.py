"""A folder of class folders, with or without train, val and test folders around them."""

from __future__ import annotations

import os
import random
from pathlib import Path
from statistics import median_low
from typing import TYPE_CHECKING

import numpy as np

from search_spaces.errors import DataError

from ._images import SUFFIXES, Header, check_memory, decode, scan
from ._splits import ALIASES, Arrays, Indices, Labels, plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Classes = tuple[str, ...]
SMALLEST, LARGEST = 16, 224


def read_folder(root: Path, image_size: int | None, seed: int) -> Arrays:
    """Return train, val and test of the images under `root`, in a seeded order.

    Raises:
        DataError: the folders are no data set, or some images cannot be read.
    """
    splits, classes = list_folder(root, seed)
    chosen = [path for paths, _ in splits.values() for path in paths]
    size, channels = shape_of(chosen, root, image_size)
    check_memory(len(chosen), size, channels)
    images = decode(chosen, size, channels, root)
    pieces = np.split(images, np.cumsum([len(labels) for _, labels in splits.values()])[:-1])
    return Arrays(
        {
            split: (piece, labels)
            for (split, (_, labels)), piece in zip(splits.items(), pieces, strict=True)
        },
        classes,
    )


def list_folder(root: Path, seed: int) -> tuple[dict[str, tuple[list[Path], Labels]], Classes]:
    """Return the files and labels of train, val and test, in a seeded order, and the classes.

    Raises:
        DataError: the folders are no data set.
    """
    files = _files(root)
    classes = tuple(sorted({name for split in files.values() for name in split}))
    paths = {split: _flatten(split_files, classes) for split, split_files in files.items()}
    labels = {split: _labels(split_files, classes) for split, split_files in files.items()}
    parts = plan(labels, classes, seed)
    rng = random.Random(seed)
    # Not by class: the first n images of a split should be a fair sample.
    order = {split: _shuffled(index, rng) for split, (_, index) in parts.items()}
    splits = {
        split: ([paths[given][i] for i in order[split]], labels[given][order[split]])
        for split, (given, _) in parts.items()
    }
    return splits, classes


def shape_of(paths: Sequence[Path], root: Path, image_size: int | None) -> tuple[int, int]:
    """Return side and channels of the images at `paths`: those that all have, if one is given.

    Raises:
        DataError: some cannot be read.
    """
    headers = scan(paths, root)
    channels = 1 if all(header.gray for header in headers) else 3
    return image_size or _common_size(headers), channels


def _files(root: Path) -> dict[str, dict[str, list[Path]]]:
    """Return the image files by split and class; class folders alone are the train split."""
    folders = _visible_folders(root)
    if not folders:
        raise DataError(
            "there are no class folders in it; expected one folder of images for each class, "
            f"such as {root / 'cat'} and {root / 'dog'}"
        )
    splits: dict[str, Path] = {}
    for folder in folders:
        name = ALIASES.get(folder.name.lower())
        if name in splits:
            raise DataError(f"{splits[name]} and {folder} are both the {name} split; keep one")
        if name:
            splits[name] = folder
    if not splits:
        return {"train": _class_files(folders)}
    if "train" not in splits:
        raise DataError(
            f"there is a folder {next(iter(splits.values())).name!r} but no folder 'train'; "
            "add one, or rename it if it is a class"
        )
    return {split: _class_files(_visible_folders(path)) for split, path in splits.items()}


def _class_files(folders: Sequence[Path]) -> dict[str, list[Path]]:
    files = {folder.name: sorted(_images(folder)) for folder in folders}
    for folder in folders:
        if not files[folder.name]:
            raise DataError(
                f"class folder {folder} has no images; add some "
                f"({', '.join(sorted(s[1:] for s in SUFFIXES))}) or remove it"
            )
    return files


def _visible_folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and _visible(path.name))


def _images(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if _visible(name)]  # os.walk then skips the others
        for name in names:
            if _visible(name) and os.path.splitext(name)[1].lower() in SUFFIXES:
                yield Path(where, name)


def _visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def _flatten(files: dict[str, list[Path]], classes: Sequence[str]) -> list[Path]:
    return [path for name in classes for path in files.get(name, [])]


def _labels(files: dict[str, list[Path]], classes: Sequence[str]) -> Labels:
    counts = [len(files.get(name, [])) for name in classes]
    return np.repeat(np.arange(len(classes), dtype=np.int64), counts)


def _shuffled(index: Indices, rng: random.Random) -> list[int]:
    return sorted(index.tolist(), key=lambda _: rng.random())


def _common_size(headers: Sequence[Header]) -> int:
    """Return the one square size of all images, or else the median of their shorter sides."""
    sizes = {(header.width, header.height) for header in headers}
    side = median_low(min(header.width, header.height) for header in headers)
    if sizes == {(side, side)} and side <= LARGEST:
        return side
    return min(max(side // 4 * 4, SMALLEST), LARGEST)
