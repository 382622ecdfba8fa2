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

import secrets
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar

from evaluators.device import device
from evaluators.runtimes import TargetUnavailable
from search_spaces.registry import Registry

from . import checksums
from .agreement import Agreement, Limit, agreement, real_images
from .checksums import seal
from .files import write_bytes
from .model import CORE, SCHEMA, ExportError, Model, describe
from .model_files import load, read
from .rounding import Rounding, rounding
from .runs import TRAINING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from evaluators.data import Images
    from search_spaces.arch import Arch, Task
    from search_spaces.network import Network

    from .agreement import Runner

FORMATS = ("safetensors", "onnx")
__all__ = [
    "CORE",
    "EXPORTERS",
    "FORMATS",
    "SCHEMA",
    "ExportError",
    "Exported",
    "Exporter",
    "Model",
    "export",
    "load",
    "read",
    "save",
]


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

    def digest(self, path: Path) -> str | None:  # noqa: ARG002 most formats tell none
        """Return the digest of the architecture that a file tells without being run, if it does.

        Raises:
            NasError: a damaged file.
        """
        return None

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

    def figures(self) -> dict[str, Any]:
        """Return how it agrees, its time, and what it rounds off, by name."""
        figures = asdict(self.agreement)
        if self.rounding:
            figures |= {"origin": EXPORTERS[self.format].origin} | self.rounding.known()
        return figures


def export(
    arch: Arch,
    network: Network,
    task: Task,
    images: Images,
    directory: Path,
    formats: Sequence[str] = FORMATS,
    beside: Mapping[str, bytes] | None = None,
    timed: bool = False,
) -> list[Exported]:
    """Write a network that was trained on `images` to `directory`, as `save` does."""
    model = Model(arch, task, network, images.classes, images.mean, images.std, images)
    return save(model, directory, formats, beside=beside, timed=timed)


def save(
    model: Model,
    directory: Path,
    formats: Sequence[str] = FORMATS,
    images: Tensor | None = None,
    beside: Mapping[str, bytes] | None = None,
    timed: bool = False,
) -> list[Exported]:
    """Write `model` to `directory` in the given formats and return how the files agree with it.

    Weights as safetensors are always among them, and what a format is rounded from. Nothing appears
    under its final name before all files are written, loaded and compared.

    Args:
        model: what is written.
        directory: new, empty, or one that has this very model, whose files these join.
        formats: names in `EXPORTERS`.
        images: (B, C, H, W) from 0 to 1, to compare with; by default test images of the model's
            data, or of the bundled ones.
        beside: contents of further files by name, which get a checksum, too.
        timed: whether the figures of every format go into metrics.json and the card, its time among
            them; those of formats that round always do.

    Raises:
        UnknownName: an unknown format.
        ExportError: a file differs from the network, or cannot be written; or `directory` holds
            another model or something else.
    """
    from .culprit import encoded

    core = {"arch.json": model.arch.to_json().encode(), "task.json": describe(model).encode()}
    core |= EXPORTERS["safetensors"]().encode(model)
    _refuse_other(directory, core)
    origins = (name for format_ in formats for name in (EXPORTERS[format_].origin, format_))
    exporters = {name: EXPORTERS[name]() for name in filter(None, ("safetensors", *origins))}
    contents = dict(core)
    for name, exporter in exporters.items():
        if exporter.file in core:
            continue
        if extra := exporter.missing():
            raise TargetUnavailable(f"format {name!r} needs: pip install 'nas-compact[{extra}]'")
        contents |= encoded(exporter, model)
    images = real_images(model.task, model.images) if images is None else images
    with _draft(directory) as draft:
        _write(draft, contents | dict(beside or {}))
        found = [_compared(name, exporters, model, draft, images) for name in exporters]
        _publish(draft, directory, _figures(each for each in found if timed or each.rounding))
    return [replace(each, path=directory / each.path.name) for each in found]


def _refuse_other(directory: Path, core: Mapping[str, bytes]) -> None:
    """Refuse a folder that holds anything but the model of the files `core`."""
    if not directory.is_dir() or not any(directory.iterdir()) or (directory / TRAINING).is_dir():
        return
    listed = checksums.read(directory) if (directory / checksums.FILE).exists() else {}
    if "task.json" not in listed:  # a run has a list, too
        raise ExportError(f"{directory} holds something else than a model; choose another --out")
    for name, content in core.items():
        if listed.get(name) != sha256(content).hexdigest():
            raise ExportError(
                f"{directory} holds another model ({name} differs); choose another --out"
            )


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
    """Return what metrics.json has of formats, by format."""
    return {each.format: each.figures() | {"device": device()} for each in found}


def _publish(draft: Path, directory: Path, figures: Mapping[str, Any]) -> None:
    """Give the files of `draft` their names in `directory`, the checksums last."""
    from .folder import renew

    old = checksums.read(directory) if (directory / checksums.FILE).exists() else {}
    renew(
        draft, stays=[directory / name for name in sorted(old)], figures=figures
    )  # the card tells of all formats that are there
    if not directory.exists():
        draft.rename(directory)
        return
    new = checksums.read(draft)
    for name in new:
        (draft / name).replace(directory / name)
    write_bytes(directory / checksums.FILE, checksums.text(old | new).encode())
