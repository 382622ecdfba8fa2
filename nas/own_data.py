"""The data set that a finished model was trained on, found again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evaluators.data import DATASETS, DataSpec

from . import provenance
from .exporter import ExportError, read
from .files import read_json
from .reading import read_arch
from .runs import read_config

if TYPE_CHECKING:
    from pathlib import Path


def own_data(directory: Path, given: str | None = None, data_dir: str | None = None) -> DataSpec:
    """Return what the model in the folder `directory` was trained on, with the same splits.

    Args:
        directory: of the model; in a run folder, the run tells where the data are.
        given: the data set's name or path, where the folder cannot tell.
        data_dir: where a named data set's files are.

    Raises:
        ExportError: the folder names none, or one of somebody's own files; or it is damaged.
    """
    run = directory.resolve().parent.parent
    if given is None and (run / "run.json").is_file():
        config = read_config(run)
        files = data_dir or config.data_dir
        spec = DataSpec(config.data, files, config.download, config.image_size, config.seed)
        return spec.sized(read_arch(str(directory)).resolution)
    known = trained_on(directory)
    name = given or known.get("name")
    if name is None:
        raise ExportError(f"{directory} does not tell what it was trained on: give it by --data")
    if given is None and name not in DATASETS:
        raise ExportError(f"the model was trained on {name!r}: give its folder or file by --data")
    size = known.get("image_size") if known else square(read(directory).task.shape)
    return DataSpec(name, data_dir, image_size=size, seed=known.get("seed", 0))


def trained_on(directory: Path) -> dict[str, Any]:
    """Return what the folder of a model tells of its data: name, seed, images by split.

    Raises:
        ExportError: it is damaged.
    """
    return dict(_provenance(directory).get("data", {}))


def square(shape: tuple[int, int, int]) -> int | None:
    """Return the side of square images; of others None."""
    return shape[1] if shape[1] == shape[2] else None


def _provenance(directory: Path) -> dict[str, Any]:
    path = directory / provenance.FILE
    try:
        return dict(read_json(path)) if path.is_file() else {}
    except (ValueError, TypeError) as error:
        raise ExportError(f"{path} is damaged: {error}") from None
