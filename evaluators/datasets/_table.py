"""The table of published data sets: what `nas list data` shows, and how each is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from search_spaces.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._splits import Arrays


@dataclass(frozen=True)
class DataSet:
    """A data set known by name.

    Args:
        sizes: images for training, validation and test.
        read: called with the data folder, or None, and whether to download.
    """

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    sizes: tuple[int, int, int]
    source: str
    licence: str
    read: Callable[[str | None, bool], Arrays] = field(repr=False)


DATASETS: Registry[DataSet] = Registry("data set", "evaluators.datasets")


def known_data() -> list[DataSet]:
    """Return the data sets known by name, in alphabetical order."""
    return [entry for _, entry in DATASETS.items()]
