"""From a model's folder back to the model; nothing in the folder is run as code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators.onnx_graph import Normalised
from search_spaces.arch import Arch, Task
from search_spaces.errors import SpecError
from search_spaces.network import build

from . import checksums
from .files import read_json, read_text
from .model import CORE, SCHEMA, ExportError, Model

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import nn


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


def read_beside(directory: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Return the contents of those of the files `names` that are beside a model.

    Raises:
        ExportError: one is not what was written.
    """
    there = [name for name in names if (directory / name).is_file()]
    if (directory / checksums.FILE).exists():
        _check(directory, there)
    return {name: (directory / name).read_bytes() for name in there}


def _arch(path: Path) -> Arch:
    try:
        return Arch.from_json(read_text(path))
    except SpecError as error:
        raise ExportError(f"{path}: {error}") from error
    except UnicodeDecodeError:
        raise ExportError(f"{path} is damaged: it is no text") from None
    except ValueError as error:
        raise ExportError(f"{path} is damaged: {error}") from None


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
