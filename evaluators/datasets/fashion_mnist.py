"""Fashion-MNIST in its published IDX files, compressed or not.

Source: Xiao et al. 2017, arXiv:1708.07747, https://github.com/zalandoresearch/fashion-mnist.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from search_spaces.errors import DataError

from ._fetch import RemoteFile, fetch, missing, search_path
from ._splits import Arrays
from ._table import DATASETS, DataSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # of the package dataset-fashion-mnist
URL = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
FILES = {
    "train": (
        RemoteFile(URL + "train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        RemoteFile(URL + "train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
    ),
    "test": (
        RemoteFile(URL + "t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        RemoteFile(URL + "t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    ),
}


def read(data_dir: str | None, download: bool) -> Arrays:
    """Return train and test as published.

    Raises:
        DataError: a file is missing, damaged or not what its name says.
    """
    folders = search_path("fashion-mnist", data_dir, system=[DEBIAN])
    splits = {}
    for split, files in FILES.items():
        images, labels = (read_idx(_locate(file, folders, download)) for file in files)
        if images.ndim != 3 or labels.shape != images.shape[:1] or labels.max(initial=0) > 9:
            raise DataError(
                f"{files[0].name} and {files[1].name} must hold images (N, H, W) and N labels "
                f"below 10, not {images.shape} and {labels.shape}; they are another data set's"
            )
        splits[split] = (images[..., None], labels.astype(np.int64))
    return Arrays(splits, CLASSES)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Return the array in an IDX file of bytes, compressed or not.

    Raises:
        DataError: the file is damaged or not an IDX file of bytes.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}); fetch it again") from error
    ndim = data[3] if data[:3] == b"\0\0\x08" and len(data) >= 4 else 0
    header = 4 + 4 * ndim
    if ndim == 0 or len(data) < header:
        raise DataError(f"{path} is not an IDX file of bytes: it begins with {data[:4].hex(' ')}")
    shape = struct.unpack(f">{ndim}I", data[4:header])
    if len(data) - header != math.prod(shape):
        raise DataError(
            f"{path} holds {len(data) - header:,} bytes after its header, which promises "
            f"{math.prod(shape):,}; fetch it again"
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape).copy()


def _locate(file: RemoteFile, folders: Sequence[Path], download: bool) -> Path:
    for folder in folders:
        for name in (file.name, file.name.removesuffix(".gz")):
            if (folder / name).is_file():
                return folder / name
    if download:
        return fetch(file, folders[-1])
    raise missing(file.name, folders)


DATASETS.register("fashion-mnist")(
    DataSet(
        name="fashion-mnist",
        classes=CLASSES,
        shape=(1, 28, 28),
        sizes=(54_000, 6_000, 10_000),
        source="https://github.com/zalandoresearch/fashion-mnist",
        licence="MIT, Zalando SE",
        read=read,
    )
)
