"""Images that stay on disk: a folder too large for memory, decoded anew for each use.

Threads decode ahead of whoever takes the batches: Pillow lets go of the interpreter's lock while it
decodes and resizes. What a batch holds depends on neither their number nor their order.
"""

from __future__ import annotations

import os
import random
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from search_spaces.errors import DataError

from .cores import cores
from .data import DataSpec, Images, Split, statistics
from .datasets._folder import list_folder, shape_of
from .datasets._images import decode, decoded
from .quiet import working

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from torch import Tensor

    from .crops import Crop
    from .datasets._splits import Labels, Pixels

SAMPLED = 1_024  # training images whose mean and deviation stand for those of all
_AHEAD = 3  # batches that are decoded before they are asked for
_MOST_THREADS = 16


@dataclass(frozen=True, eq=False)
class Streamed(Split):
    """A split whose `images` are a shape without bytes (on torch's device "meta").

    Args:
        paths: of the image files, as texts: a million of these fit.
        root: folder that messages leave out.
    """

    paths: Sequence[str] = field(repr=False)
    root: Path

    def batches(self, indices: Iterable[Tensor], crop: Crop | None = None) -> Iterator[Tensor]:
        """Yield the images at each of `indices`: (B, C, H, W), uint8 and channels-last.

        Raises:
            DataError: an image cannot be read.
        """
        with ThreadPoolExecutor(_threads()) as pool:
            waiting: deque[list[Future[Pixels]]] = deque()
            try:
                for index in indices:
                    decoding = partial(self._decoded, crop=crop)
                    waiting.append([pool.submit(decoding, i) for i in index.tolist()])
                    if len(waiting) > _AHEAD:
                        yield _stacked(waiting.popleft())
                while waiting:
                    yield _stacked(waiting.popleft())
            finally:  # nobody wants the rest of an epoch that ends early
                pool.shutdown(cancel_futures=True)

    def taken(self, count: int) -> Split:
        """Return the first `count` images, in memory."""
        paths = [Path(path) for path in self.paths[:count]]
        pixels = decode(paths, self.images.shape[2], self.images.shape[1], self.root)
        return Split(torch.from_numpy(pixels).permute(0, 3, 1, 2), self.labels[:count])

    def _decoded(self, index: int, crop: Crop | None) -> Pixels:
        _, channels, size, _ = self.images.shape
        path = self.paths[index]
        try:
            with working():
                return decoded(path, size, channels, partial(crop.box, index) if crop else None)
        except Exception as error:  # a damaged file makes Pillow raise nearly anything
            reason = (str(error).splitlines() or [repr(error)])[0]
            raise DataError(f"{os.path.relpath(path, self.root)}: {reason}") from error


def stream(spec: DataSpec) -> Images:
    """Return the images of a folder, with the splits that `load` would make, left on disk.

    Size, channels, mean and deviation are those of a sample of the training images.

    Raises:
        DataError: it is no folder, or none of class folders, or the sample cannot be read.
    """
    root = Path(spec.name).expanduser()
    if not root.is_dir():
        raise DataError(f"{spec.name}: only a folder of images can be streamed; leave out --stream")
    try:
        splits, classes = list_folder(root, spec.seed)
        paths, _ = splits["train"]
        sample = random.Random(spec.seed).sample(paths, min(SAMPLED, len(paths)))
        size, channels = shape_of(sample, root, spec.image_size)
        mean, std = statistics(decode(sample, size, channels, root))
    except (DataError, OSError) as error:
        raise DataError(f"{spec.name}: {error}") from error
    parts = {name: _split(*part, size, channels, root) for name, part in splits.items()}
    return Images(spec.name, classes, parts["train"], parts["val"], parts["test"], mean, std)


def _split(paths: list[Path], labels: Labels, size: int, channels: int, root: Path) -> Streamed:
    shape = torch.empty((len(paths), channels, size, size), dtype=torch.uint8, device="meta")
    return Streamed(shape, torch.from_numpy(labels), [os.fspath(path) for path in paths], root)


def _threads() -> int:
    """Return how many decode: this process' share of the cores, but no more than the GIL bears."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # set by torchrun
    return min(_MOST_THREADS, max(1, len(cores()) // processes))


def _stacked(decoding: list[Future[Pixels]]) -> Tensor:
    """(H, W, C) each -> (B, C, H, W), channels-last."""
    pixels = np.stack([future.result() for future in decoding])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)
