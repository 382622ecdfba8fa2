"""Images to train on: a frozen description in, three tensor-resident splits out.

Importing this module does not import torch; `load` does.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from search_spaces.cost import SIDES
from search_spaces.errors import DataError, SpecError, UnknownName

from .datasets._folder import read_folder
from .datasets._images import check_memory, resize
from .datasets._npz import read_npz
from .datasets._splits import Arrays, Pixels, complete
from .datasets._table import DATASETS, DataSet, known_data

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from torch import Tensor

    from .crops import Crop

__all__ = ["DATASETS", "DataSet", "DataSpec", "Images", "Split", "known_data", "load"]

PUBLISHED_VAL_SHARE = 0.1
PART = 1_024


@dataclass(frozen=True)
class DataSpec:
    """Which images: `load` turns it into tensors, the same ones each time.

    Args:
        name: a known data set, a folder of class folders or an .npz file.
        data_dir: where the files of a known data set are; by default a system or cache folder.
        download: fetch missing files of a known data set from their publisher.
        image_size: side of the square images; by default as they are.
        seed: decides the splits that the data set does not come with.
        stream: whether a folder's images stay on disk, to be decoded whenever they are needed.

    Raises:
        SpecError: a value is out of its range.
    """

    name: str = "bundled"
    data_dir: str | None = None
    download: bool = False
    image_size: int | None = None
    seed: int = 0
    stream: bool = False

    def __post_init__(self) -> None:
        if not self.name:
            raise SpecError("`name` must be a data set, a folder or an .npz file, not empty")
        if self.image_size is not None and self.image_size not in SIDES:
            raise SpecError(
                f"`image_size` must be from {SIDES[0]} to {SIDES[-1]}, not {self.image_size}"
            )
        if self.seed < 0:
            raise SpecError(f"`seed` must not be negative, but is {self.seed}")

    def sized(self, resolution: int | None) -> DataSpec:
        """Return these images at the resolution of an architecture; if it has none, as they are.

        Raises:
            SpecError: another size was asked for.
        """
        if resolution is None:
            return self
        if self.image_size not in (None, resolution):
            raise SpecError(
                f"images of {self.image_size} pixels (--image-size) were asked for, but the "
                f"architecture's `resolution` is {resolution}: leave the size out"
            )
        return replace(self, image_size=resolution)


@dataclass(frozen=True, eq=False)
class Split:
    """Images (N, C, H, W), uint8 and channels-last, and labels (N,), int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, indices: Iterable[Tensor], crop: Crop | None = None) -> Iterator[Tensor]:
        """Yield the images at each of `indices`: (B, C, H, W), uint8 and channels-last.

        Raises:
            SpecError: random crops, of which images in memory have no more than the centre.
        """
        if crop is not None:
            raise SpecError(
                f"`resized_crop` (={crop.smallest}) needs images that stay on disk: a folder of "
                "images, and --stream; or set it to 0"
            )
        from .augment import gather

        return (gather(self.images, index) for index in indices)

    def taken(self, count: int) -> Split:
        """Return the first `count` images, in memory."""
        return Split(self.images[:count], self.labels[:count])

    def __repr__(self) -> str:
        return f"Split({len(self):,} images)"


@dataclass(frozen=True, eq=False)
class Images:
    """A data set in memory, shared by all who load it: read it, never write to it.

    Args:
        classes: names of the classes, by label.
        mean: of the training images by channel, for pixels from 0 to 1.
        std: likewise, and at least one grey level, so that it can be divided by.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    val: Split
    test: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width


_ADOPTED: dict[DataSpec, Images] = {}


@lru_cache(maxsize=8)  # a space may have several resolutions
def load(spec: DataSpec) -> Images:
    """Return the images that `spec` describes; loaded once, then shared.

    Raises:
        DataError: files are missing, unreadable or not a usable data set.
        UnknownName: `spec.name` is neither a known data set nor a path.
    """
    if spec in _ADOPTED:
        return _ADOPTED[spec]
    if spec.stream:
        from .streamed import stream

        return stream(spec)
    try:
        arrays = _read(spec)
        if spec.image_size is not None:
            arrays = _resized(arrays, spec.image_size)
    except (DataError, OSError) as error:
        raise DataError(f"{spec.name}: {error}") from error
    except UnknownName as error:
        raise UnknownName(f"no folder, no .npz file and no data set: {error}") from error
    mean, std = statistics(arrays.splits["train"][0])
    splits = {name: _split(*part) for name, part in arrays.splits.items()}
    return Images(name=spec.name, classes=arrays.classes, mean=mean, std=std, **splits)


def to_arrays(images: Images) -> dict[str, Any]:
    """Return a data set as NumPy arrays and plain values, which processes can map into memory."""
    parts = {name: getattr(images, name) for name in ("train", "val", "test")}
    # (N, C, H, W), channels-last -> (N, H, W, C): the same bytes
    arrays = {n: (p.images.permute(0, 2, 3, 1).numpy(), p.labels.numpy()) for n, p in parts.items()}
    return {name: getattr(images, name) for name in ("name", "classes", "mean", "std")} | arrays


def adopt(spec: DataSpec, arrays: dict[str, Any]) -> None:
    """Let `load` return, in this process, what `to_arrays` made of `spec` in another."""
    splits = {name: _split(*arrays[name]) for name in ("train", "val", "test")}
    _ADOPTED[spec] = Images(**(arrays | splits))


def _read(spec: DataSpec) -> Arrays:
    path = Path(spec.name).expanduser()
    if spec.name in DATASETS or not path.exists():
        arrays = DATASETS[spec.name].read(spec.data_dir, spec.download)
        return complete(arrays, spec.seed, PUBLISHED_VAL_SHARE)
    if path.is_dir():
        return read_folder(path, spec.image_size, spec.seed)
    if path.suffix.lower() != ".npz":
        raise DataError("must be a folder of class folders or an .npz file")
    return complete(read_npz(path), spec.seed)


def _resized(arrays: Arrays, size: int) -> Arrays:
    parts = arrays.splits.values()
    check_memory(sum(len(labels) for _, labels in parts), size, next(iter(parts))[0].shape[3])
    splits = {
        name: (resize(images, size), labels) for name, (images, labels) in arrays.splits.items()
    }
    return Arrays(splits, arrays.classes)


def statistics(images: Pixels) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation by channel, exact, from counts of grey levels."""
    levels = np.arange(256) / 255
    means, stds = [], []
    for channel in range(images.shape[3]):
        # By parts, for bincount makes eight bytes of each.
        parts = (images[i : i + PART, ..., channel] for i in range(0, len(images), PART))
        counts = np.sum([np.bincount(p.ravel(), minlength=256) for p in parts], axis=0)
        mean = float(np.average(levels, weights=counts))
        variance = float(np.average((levels - mean) ** 2, weights=counts))
        means.append(mean)
        stds.append(max(variance**0.5, 1 / 255))
    return tuple(means), tuple(stds)


def _split(images: Pixels, labels: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Split:
    import torch

    with warnings.catch_warnings():  # what is shared cannot be written, and nobody does
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        pixels, classes = torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(labels)
    # (N, H, W, C) -> (N, C, H, W): the same bytes, which are channels-last
    return Split(pixels.permute(0, 3, 1, 2), classes)
