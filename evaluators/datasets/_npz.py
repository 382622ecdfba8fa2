"""An .npz file of images and labels, by split or in one piece."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from search_spaces.errors import DataError

from ._images import MEMORY_SHARE, available_bytes
from ._splits import ALIASES, Arrays, Labels, Pixels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

Array = NDArray[Any]

# The second is MedMNIST's.
BY_SPLIT = (("x_{}", "y_{}"), ("{}_images", "{}_labels"))
IN_ONE = (("images", "labels"), ("x", "y"))
CHANNELS = (1, 3)


def read_npz(path: Path) -> Arrays:
    """Return the splits that the file holds.

    Raises:
        DataError: the file is damaged, pickled or too large, or an array is not what it must be.
    """
    arrays = _load(path)
    pairs = _pairs(list(arrays))
    images = {split: _pixels(x, arrays[x]) for split, (x, _) in pairs.items()}
    labels = {split: _integers(y, arrays[y]) for split, (_, y) in pairs.items()}
    shapes = {pixels.shape[1:] for pixels in images.values()}
    if len(shapes) > 1:
        raise DataError(f"the images of all splits must have one shape, not {sorted(shapes)}")
    for split, (x, y) in pairs.items():
        if len(images[split]) != len(labels[split]):
            raise DataError(
                f"every image needs a label, but {x} has {len(images[split])} images and "
                f"{y} has {len(labels[split])} labels"
            )
    values = np.unique(np.concatenate(list(labels.values())))
    classes = _class_names(arrays, values)
    return Arrays(
        {s: (images[s], np.searchsorted(values, labels[s]).astype(np.int64)) for s in pairs},
        classes,
    )


def _load(path: Path) -> dict[str, Array]:
    """Return the arrays whose names mean something here."""
    try:
        with zipfile.ZipFile(path) as archive:
            size, free = sum(info.file_size for info in archive.infolist()), available_bytes()
        if free is not None and size > MEMORY_SHARE * free:
            raise DataError(
                f"the arrays take {size / 1e9:.1f} GB, more than {MEMORY_SHARE:.0%} of the "
                f"{free / 1e9:.1f} GB of free memory; store fewer or smaller images"
            )
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name in _meaningful()}
        for name, array in arrays.items():
            if not isinstance(array, np.ndarray):  # numpy hands out any other member as bytes
                raise ValueError(f"{name}.npy is no array")
        return arrays
    except DataError:
        raise
    except Exception as error:  # numpy, zipfile and the decompressors each raise their own
        raise DataError(
            f"not a readable .npz file of plain arrays ({error}); write it with numpy.savez"
        ) from error


def _meaningful() -> set[str]:
    by_split = {name.format(alias) for pair in BY_SPLIT for name in pair for alias in ALIASES}
    return by_split | {name for pair in IN_ONE for name in pair} | {"classes"}


def _pairs(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return by split the names of the images and of the labels."""
    for x, y in BY_SPLIT:
        found = [(split, x.format(alias), y.format(alias)) for alias, split in ALIASES.items()]
        found = [entry for entry in found if entry[1] in names]
        if found:
            break
    else:
        found = [("train", x, y) for x, y in IN_ONE if x in names][:1]
    if not found:
        raise DataError(
            "no images in the file; expected arrays x_train and y_train (and x_val, x_test, ...), "
            "train_images and train_labels, images and labels, or x and y"
        )
    for _, x, y in found:
        if y not in names:
            raise DataError(f"array {x} needs its labels in an array {y}")
    if len({split for split, _, _ in found}) < len(found):
        raise DataError(f"one split is there twice: {', '.join(x for _, x, _ in found)}")
    return {split: (x, y) for split, x, y in found}


def _pixels(name: str, array: Array) -> Pixels:
    """Return images as (N, H, W, C)."""
    if array.dtype != np.uint8:
        scale = "(x * 255).round()" if array.dtype.kind == "f" else "x"
        raise DataError(
            f"{name} must be uint8 from 0 to 255, not {array.dtype}; "
            f"convert it, for values from 0 to {1 if array.dtype.kind == 'f' else 255} "
            f"with {scale}.astype('uint8')"
        )
    if not array.size:
        raise DataError(f"{name} is empty, with the shape {array.shape}; leave it out")
    if array.ndim == 3:
        return array[..., None]
    last = array.ndim == 4 and array.shape[3] in CHANNELS
    first = array.ndim == 4 and array.shape[1] in CHANNELS
    if last == first:
        why = "could be either of the last two" if last and first else "is none of them"
        raise DataError(
            f"{name} must have the shape (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3, "
            f"but {array.shape} {why}; transpose or reshape it"
        )
    return np.ascontiguousarray(array if last else array.transpose(0, 2, 3, 1))


def _integers(name: str, array: Array) -> Labels:
    if array.dtype.kind not in "iu":
        raise DataError(f"{name} must be integers, not {array.dtype}; number the classes from 0")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(
            f"{name} must have the shape (N,) or (N, 1), not {array.shape}: one class an image"
        )
    if array.size and array.min() < 0:
        raise DataError(f"{name} has the label {array.min()}; remove images without a class")
    return array.astype(np.int64)


def _class_names(arrays: Mapping[str, Array], values: Labels) -> tuple[str, ...]:
    if "classes" not in arrays:
        return tuple(map(str, values))
    names = arrays["classes"]
    if names.ndim != 1 or len(names) != len(values):
        raise DataError(
            f"`classes` must name each of the {len(values)} labels once, but has the shape "
            f"{names.shape}; the labels are {values[:5].tolist()}{'...' if len(values) > 5 else ''}"
        )
    return tuple(map(str, names))
