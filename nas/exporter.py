"""A trained network as files that others can read, and back.

    arch.json            the architecture, as `Arch.from_json` reads it
    task.json            schema, digest of the architecture, image shape, class names, mean and std
    weights.safetensors  float32 weights
    model.onnx           the whole network, and further formats: see docs/export.md
    README.md            the model card, and architecture.svg, its picture
    provenance.json      data, recipe, versions...; metrics.json: accuracy and latency, if known
    checksums.json       SHA-256 of each file, written last

Files are loaded and compared with the network before they get their names.
"""

from __future__ import annotations

import json
import math
import secrets
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from evaluators.onnx_graph import Normalised
from evaluators.runtimes import TargetUnavailable
from search_spaces.arch import Arch, Task
from search_spaces.errors import NasError, SpecError
from search_spaces.network import build
from search_spaces.registry import Registry

from . import checksums
from .agreement import Agreement, Limit, agreement, real_images
from .checksums import seal
from .files import read_json, read_text, write_bytes
from .rounding import Rounding, rounding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from torch import Tensor, nn

    from evaluators.data import Images
    from search_spaces.network import Network

    from .agreement import Runner

SCHEMA = 1
FORMATS = ("safetensors", "onnx")
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


class Exporter:
    """One format: the names of its files, their contents, and its own runtime. Base of all.

    Attributes:
        file: name of the file in the export's folder that `open` takes.
        beside: names of further files that `encode` makes.
        runtimes: modules that must be there, with the extra that brings each.
        limit: how far its scores may be from the network's.
        origin: name of the format that it rounds, which is written with it and compared with it.
        runs_code: whether opening a file runs what stands in it, so that it must be trusted.
        usage: Python that makes `scores` from `image` in the export's folder, for the model card;
            `{shape}` stands for the numbers of channels, rows and columns.
    """

    file: ClassVar[str]
    beside: ClassVar[tuple[str, ...]] = ()
    runtimes: ClassVar[Mapping[str, str]] = {}
    limit: ClassVar[Limit] = Limit()
    origin: ClassVar[str] = ""
    runs_code: ClassVar[bool] = False
    usage: ClassVar[str]

    def encode(self, model: Model) -> Mapping[str, bytes]:
        """Return the contents of the files by name.

        Raises:
            NasError: a missing package, or an operator that the format lacks.
        """
        raise NotImplementedError

    def open(self, path: Path) -> Runner:
        """Return what maps images from 0 to 1, of any batch, to scores in the file's own runtime.

        Raises:
            NasError: a missing package, or a damaged file.
        """
        raise NotImplementedError

    @classmethod
    def files(cls) -> tuple[str, ...]:
        """Return the names of all its files, that which `open` takes first."""
        return (cls.file, *cls.beside)

    @classmethod
    def missing(cls) -> str:
        """Return the extra of this project that is to be installed first, or nothing."""
        lacks = (extra for module, extra in cls.runtimes.items() if find_spec(module) is None)
        return next(lacks, "")


EXPORTERS: Registry[type[Exporter]] = Registry("format", "nas.exporters")


@dataclass(frozen=True)
class Exported:
    """A file that was written, how it agrees with the network, and what it rounds off."""

    format: str
    path: Path
    size_bytes: int
    agreement: Agreement
    rounding: Rounding | None = None


def export(
    arch: Arch,
    network: Network,
    task: Task,
    images: Images,
    directory: Path,
    formats: Sequence[str] = FORMATS,
    beside: Mapping[str, bytes] | None = None,
) -> list[Exported]:
    """Write a network that was trained on `images` to `directory`, as `save` does."""
    model = Model(arch, task, network, images.classes, images.mean, images.std, images)
    return save(model, directory, formats, beside=beside)


def save(
    model: Model,
    directory: Path,
    formats: Sequence[str] = FORMATS,
    images: Tensor | None = None,
    beside: Mapping[str, bytes] | None = None,
) -> list[Exported]:
    """Write `model` to `directory` in the given formats and return how the files agree with it.

    Weights as safetensors are always among them, and what a format is rounded from. Nothing appears
    under its final name before all files are written, loaded and compared.

    Args:
        model: what is written.
        directory: made if missing; files of another model in it are replaced.
        formats: names in `EXPORTERS`.
        images: (B, C, H, W) from 0 to 1, to compare with; by default test images of the model's
            data, or of the bundled ones.
        beside: contents of further files by name, which get a checksum, too.

    Raises:
        UnknownName: an unknown format.
        ExportError: a file differs from the network, or cannot be written.
    """
    from .culprit import encoded

    origins = (name for format_ in formats for name in (EXPORTERS[format_].origin, format_))
    exporters = {name: EXPORTERS[name]() for name in filter(None, ("safetensors", *origins))}
    contents = {"arch.json": model.arch.to_json().encode(), "task.json": describe(model).encode()}
    for name, exporter in exporters.items():
        if extra := exporter.missing():
            raise TargetUnavailable(f"format {name!r} needs: pip install 'nas-compact[{extra}]'")
        contents |= encoded(exporter, model)
    images = real_images(model.task, model.images) if images is None else images
    with _draft(directory) as draft:
        _write(draft, contents | dict(beside or {}))
        found = [_compared(name, exporters, model, draft, images) for name in exporters]
        _publish(draft, directory, _figures(found))
    return [replace(each, path=directory / each.path.name) for each in found]


def _compared(
    name: str, exporters: Mapping[str, Exporter], model: Model, directory: Path, images: Tensor
) -> Exported:
    """Return how a file in `directory` agrees with the network.

    Raises:
        ExportError: it does not.
    """
    exporter = exporters[name]
    path = directory / exporter.file
    run = exporter.open(path)
    agrees = agreement(run, model, images, exporter.limit)
    if agrees.fault:
        raise ExportError(f"{exporter.file}: {agrees.fault}")
    rounded = None
    if exporter.origin:
        other = exporters[exporter.origin]
        rounded = rounding(run, other.open(directory / other.file), model, images[:1])
    size = sum((directory / file).stat().st_size for file in exporter.files())
    return Exported(name, path, size, agrees, rounded)


@contextmanager
def _draft(directory: Path) -> Iterator[Path]:
    """Make a hidden folder beside `directory`; what is left of it in the end is removed."""
    draft = directory.with_name(f".{directory.name or 'export'}.{secrets.token_hex(4)}")
    try:
        draft.mkdir(parents=True)
        yield draft
    except OSError as error:
        raise ExportError(f"cannot write to {directory}: {error.strerror}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write(directory: Path, contents: Mapping[str, bytes]) -> None:
    for name, content in contents.items():
        write_bytes(directory / name, content)
    seal(directory, contents)


def _figures(found: Iterable[Exported]) -> dict[str, Any]:
    """Return what metrics.json has of formats that round, by format."""
    return {
        each.format: {"origin": EXPORTERS[each.format].origin}
        | asdict(each.agreement)
        | each.rounding.known()
        for each in found
        if each.rounding is not None
    }


def _publish(draft: Path, directory: Path, figures: Mapping[str, Any]) -> None:
    """Give the files of `draft` their names in `directory`, the checksums last."""
    from .folder import renew

    new, old = checksums.read(draft), {}
    if (directory / checksums.FILE).exists():
        old = checksums.read(directory)
    foreign: set[str] = set()
    if any(old.get(name) != new[name] for name in CORE):  # another model's files would mislead
        foreign, old = set(old), {}
    renew(
        draft, stays=[directory / name for name in sorted(old)], figures=figures
    )  # the card tells of all formats that are there
    if not directory.exists():
        draft.rename(directory)
        return
    new = checksums.read(draft)
    for name in foreign - new.keys():
        (directory / name).unlink(missing_ok=True)
    for name in new:
        (draft / name).replace(directory / name)
    write_bytes(directory / checksums.FILE, checksums.text(old | new).encode())


def load(directory: Path | str) -> nn.Module:
    """Return the network of a model's folder, in evaluation mode: (B, C, H, W) -> (B, classes).

    It takes pixels from 0 to 1, as every exported file does, and normalises them itself. Nothing
    in the folder is run as code.

    Raises:
        ExportError: files are missing, damaged, or belong to different models.
    """
    model = read(Path(directory))
    return Normalised(model.network, model.mean, model.std).eval()


def read(directory: Path) -> Model:
    """Return the model that `save` wrote to `directory`, in evaluation mode.

    Raises:
        ExportError: files are missing, damaged, or belong to different models.
    """
    from .exporters.safetensors import Safetensors

    if (directory / checksums.FILE).exists():
        _check(directory, CORE)
    try:
        arch = _arch(directory / "arch.json")
        about = read_json(directory / "task.json")
        if about["schema"] != SCHEMA or about["digest"] != arch.digest:
            raise ExportError(f"{directory}: task.json belongs to another architecture or version")
        classes, mean, std, shape = _task(about)
        task = Task(len(classes), shape)
        needed, there = arch.cost(task).size_bytes, (directory / Safetensors.file).stat().st_size
        if needed > there:  # before memory is taken for a network that the file cannot fill
            raise ExportError(
                f"{directory / Safetensors.file} is missing, damaged or of another architecture: "
                f"{there:,} bytes, but arch.json needs {needed:,}"
            )
        model = Model(arch, task, build(arch, task).eval(), classes, mean, std)
    except OSError as error:
        raise ExportError(f"cannot read {error.filename}: {error.strerror}") from error
    except SpecError as error:
        raise ExportError(f"{directory}: {error}") from error
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise ExportError(f"{directory / 'task.json'} is damaged: {error!r}") from error
    Safetensors().decode(directory / Safetensors.file, model)
    return model


def _arch(path: Path) -> Arch:
    try:
        return Arch.from_json(read_text(path))
    except SpecError as error:
        raise ExportError(f"{path}: {error}") from error


_Task = tuple[tuple[str, ...], tuple[float, ...], tuple[float, ...], tuple[int, int, int]]


def _task(about: Mapping[str, Any]) -> _Task:
    """Return classes, mean, std and shape of a task.json.

    Raises:
        ValueError: something else stands there.
    """
    for key, kinds in (("classes", {str}), ("mean", {int, float}), ("std", {int, float})):
        if not isinstance(about[key], list) or not {type(value) for value in about[key]} <= kinds:
            raise ValueError(f"`{key}` must be a list of {'names' if str in kinds else 'numbers'}")
    shape = about["shape"]
    if not isinstance(shape, list) or [type(side) for side in shape] != [int] * 3:
        raise ValueError(f"`shape` must be three whole numbers, not {shape!r}")
    classes, mean, std = (tuple(about[key]) for key in ("classes", "mean", "std"))
    return classes, mean, std, (shape[0], shape[1], shape[2])


def _check(directory: Path, names: Iterable[str]) -> None:
    try:
        known = checksums.read(directory)
    except checksums.DamagedError as error:
        raise ExportError(str(error)) from None
    for line in checksums.differences(directory, {n: known.get(n, "") for n in names}):
        raise ExportError(line)


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
