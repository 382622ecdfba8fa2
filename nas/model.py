"""A network with all that is needed to use it, and what task.json says of it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from search_spaces.arch import Arch, Task
from search_spaces.errors import NasError, SpecError

if TYPE_CHECKING:
    from evaluators.data import Images
    from search_spaces.network import Network

SCHEMA = 1
CORE = ("arch.json", "task.json", "weights.safetensors")  # what `read` needs


class ExportError(NasError, RuntimeError):
    """A file that would not say what the network says, or cannot be written or read."""


@dataclass(frozen=True, eq=False)
class Model:
    """A network and all that is needed to use it.

    Args:
        arch: its architecture.
        task: its classes and image shape.
        network: its module, trained.
        classes: names of the classes, by label.
        mean: by channel, of pixels from 0 to 1; what training subtracted.
        std: by channel, likewise; what training divided by.
        images: the data set, if it is at hand: formats that round need it.

    Raises:
        SpecError: names, statistics or images do not fit the task.
    """

    arch: Arch
    task: Task
    network: Network
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    images: Images | None = None

    def __post_init__(self) -> None:
        if len(self.classes) != self.task.classes:
            raise SpecError(f"{self.task.classes} classes need as many names, not {self.classes}")
        if self.arch.on(self.task) != self.task:
            raise SpecError(
                f"the architecture is for images of {self.arch.resolution} pixels a side, not for "
                f"{self.task}"
            )
        channels = self.task.shape[0]
        if not len(self.mean) == len(self.std) == channels:
            raise SpecError(
                f"`mean` (={self.mean}) and `std` (={self.std}) must hold {channels} values each"
            )
        if not all(map(math.isfinite, self.mean + self.std)) or min(self.std) <= 0:
            raise SpecError(f"`mean` (={self.mean}), `std` (={self.std}): finite, and std above 0")
        images = self.images
        if images and (images.shape, images.classes) != (self.task.shape, self.classes):
            found = Task(len(images.classes), images.shape)
            names = " with other names" if found == self.task else f", not {self.task}"
            raise SpecError(f"the images of {images.name!r} are for {found}{names}")


def describe(model: Model) -> str:
    """Return what stands in task.json."""
    about = {
        "schema": SCHEMA,
        "digest": model.arch.digest,
        "shape": model.task.shape,
        "classes": model.classes,
        "mean": model.mean,
        "std": model.std,
    }
    return json.dumps(about, indent=2) + "\n"
