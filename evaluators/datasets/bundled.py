"""The data set that comes with the package: a balanced subset of Fashion-MNIST.

Source: Xiao et al. 2017, arXiv:1708.07747; the subset is made by `tools/make_bundled_data.py`.
"""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import TYPE_CHECKING

from ._npz import read_npz
from ._table import DATASETS, DataSet
from .fashion_mnist import CLASSES

if TYPE_CHECKING:
    from ._splits import Arrays


def read(_data_dir: str | None, _download: bool) -> Arrays:
    """Return the subset; it is always at hand, so no folder and no download is needed."""
    with as_file(files("evaluators") / "bundled" / "fashion_mnist_subset.npz") as path:
        return read_npz(path)


DATASETS.register("bundled")(
    DataSet(
        name="bundled",
        classes=CLASSES,
        shape=(1, 28, 28),
        sizes=(10_000, 2_000, 2_000),
        source="subset of Fashion-MNIST, in the package",
        licence="MIT, Zalando SE",
        read=read,
    )
)
