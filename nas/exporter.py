"""A trained network as files that others can read, and back.

    arch.json            the architecture, as `Arch.from_json` reads it
    task.json            schema, digest of the architecture, image shape, class names, mean and std
    weights.safetensors  float32 weights
    model.onnx           the whole network; see docs/export.md

Files are checked before they are written, and each appears complete or not at all.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import torch

from search_spaces.arch import Arch, Task
from search_spaces.errors import NasError, SpecError
from search_spaces.network import build
from search_spaces.registry import Registry

from .files import write_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from evaluators.data import Images
    from search_spaces.network import Network

SCHEMA = 1
FORMATS = ("safetensors", "onnx")
COMPARED = 32  # test images on which a file must agree with the network


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

    Raises:
        SpecError: names or statistics do not fit the task.
    """

    arch: Arch
    task: Task
    network: Network
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.classes) != self.task.classes:
            raise SpecError(f"{self.task.classes} classes need as many names, not {self.classes}")
        channels = self.task.shape[0]
        if not len(self.mean) == len(self.std) == channels:
            raise SpecError(
                f"`mean` (={self.mean}) and `std` (={self.std}) must hold {channels} values each"
            )
        if not all(map(math.isfinite, self.mean + self.std)) or min(self.std) <= 0:
            raise SpecError(f"`mean` (={self.mean}), `std` (={self.std}): finite, and std above 0")


class Exporter(Protocol):
    """One format: the name of its file, its content, and a check of the content.

    Attributes:
        file: name of the file in the export's folder.
    """

    file: ClassVar[str]

    def encode(self, model: Model) -> bytes:
        """Return the content of the file."""

    def check(self, content: bytes, model: Model, images: Tensor) -> None:
        """Read `content` back and compare it with the network on `images`, from 0 to 1.

        Raises:
            ExportError: they differ.
        """


EXPORTERS: Registry[type[Exporter]] = Registry("format", "nas.exporters")


def export(
    arch: Arch,
    network: Network,
    task: Task,
    images: Images,
    directory: Path,
    formats: Sequence[str] = FORMATS,
) -> list[Path]:
    """Write a network that was trained on `images` to `directory`, as `save` does."""
    model = Model(arch, task, network, images.classes, images.mean, images.std)
    return save(model, directory, formats, images.test.images[:COMPARED].float() / 255)


def save(
    model: Model, directory: Path, formats: Sequence[str] = FORMATS, images: Tensor | None = None
) -> list[Path]:
    """Write `model` to `directory` in the given formats and return the files.

    Args:
        model: what is written.
        directory: made if missing; files of an earlier export are replaced.
        formats: names in `EXPORTERS`.
        images: (B, C, H, W) from 0 to 1, to compare with; by default noise.

    Raises:
        UnknownName: an unknown format.
        ExportError: a file differs from the network (none is written), or cannot be written.
    """
    exporters = [EXPORTERS[name]() for name in formats]
    if images is None:
        images = torch.rand(8, *model.task.shape, generator=torch.Generator().manual_seed(0))
    contents = {"arch.json": model.arch.to_json().encode(), "task.json": describe(model).encode()}
    for exporter in exporters:
        contents[exporter.file] = exporter.encode(model)
        exporter.check(contents[exporter.file], model, images)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            write_bytes(directory / name, content)
    except OSError as error:
        raise ExportError(f"cannot write to {directory}: {error.strerror}") from error
    return [directory / name for name in contents]


def load(directory: Path) -> Model:
    """Return the model that `save` wrote to `directory`, in evaluation mode.

    Raises:
        ExportError: files are missing, damaged, or belong to different models.
    """
    from .exporters.safetensors import Safetensors

    try:
        arch = Arch.from_json((directory / "arch.json").read_text("utf-8"))
        about = json.loads((directory / "task.json").read_text("utf-8"))
        if about["schema"] != SCHEMA or about["digest"] != arch.digest:
            raise ExportError(f"{directory}: task.json belongs to another architecture or version")
        classes, mean, std = (tuple(about[key]) for key in ("classes", "mean", "std"))
        channels, height, width = about["shape"]
        task = Task(len(classes), (channels, height, width))
        model = Model(arch, task, build(arch, task).eval(), classes, mean, std)
    except OSError as error:
        raise ExportError(f"cannot read {error.filename}: {error.strerror}") from error
    except SpecError as error:
        raise ExportError(f"{directory}: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{directory / 'task.json'} is damaged: {error!r}") from error
    Safetensors().decode(directory / Safetensors.file, model)
    return model


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
