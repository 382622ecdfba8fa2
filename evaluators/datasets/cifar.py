"""CIFAR-10 and CIFAR-100 in their published binary version, packed or not.

Source: Krizhevsky 2009, "Learning multiple layers of features from tiny images",
https://www.cs.toronto.edu/~kriz/cifar.html. The python version is pickled and is not read.
"""

from __future__ import annotations

import tarfile
import zlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from search_spaces.errors import DataError

from ._fetch import RemoteFile, fetch, missing, search_path
from ._splits import Arrays, Labels, Pixels
from ._table import DATASETS, DataSet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SIDE = 32
PIXELS = 3 * SIDE * SIDE
PAGE = "https://www.cs.toronto.edu/~kriz/"

CLASSES_10 = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
_NAMES_100 = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus
    butterfly camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab
    crocodile cup dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard
    lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom
    oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
    possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake
    spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor
    train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CLASSES_100 = tuple(_NAMES_100.split())


@dataclass(frozen=True)
class Cifar:
    """One of the two sets.

    Args:
        label_bytes: bytes before the pixels of an image; the last one is the label.
        folder: the folder inside the archive.
        python: what the python version of the same set is called, packed and not.
    """

    name: str
    classes: tuple[str, ...]
    label_bytes: int
    archive: RemoteFile
    folder: str
    train: tuple[str, ...]
    test: str
    python: tuple[str, str]


CIFAR10 = Cifar(
    name="cifar10",
    classes=CLASSES_10,
    label_bytes=1,
    archive=RemoteFile(PAGE + "cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),
    folder="cifar-10-batches-bin",
    train=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
    test="test_batch.bin",
    python=("cifar-10-python.tar.gz", "cifar-10-batches-py"),
)
CIFAR100 = Cifar(
    name="cifar100",
    classes=CLASSES_100,
    label_bytes=2,  # superclass, class
    archive=RemoteFile(PAGE + "cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8"),
    folder="cifar-100-binary",
    train=("train.bin",),
    test="test.bin",
    python=("cifar-100-python.tar.gz", "cifar-100-python"),
)


def read(cifar: Cifar, data_dir: str | None, download: bool) -> Arrays:
    """Return train and test as published.

    Raises:
        DataError: a file is missing or damaged, or only the python version is there.
    """
    folders = search_path(cifar.name, data_dir)
    files = _unpacked(cifar, folders)
    if not files:
        files = _members(cifar, _archive(cifar, folders, download))
    train = [_records(cifar, name, files[name]) for name in cifar.train]
    images = np.concatenate([images for images, _ in train])
    labels = np.concatenate([labels for _, labels in train])
    test = _records(cifar, cifar.test, files[cifar.test])
    return Arrays({"train": (images, labels), "test": test}, cifar.classes)


def _unpacked(cifar: Cifar, folders: Sequence[Path]) -> dict[str, bytes]:
    """Return the bytes by file name, or nothing where no file of the set lies unpacked."""
    names = (*cifar.train, cifar.test)
    for folder in (f for root in folders for f in (root / cifar.folder, root)):
        present = [name for name in names if (folder / name).is_file()]
        if present and len(present) < len(names):
            lost = next(name for name in names if name not in present)
            raise missing(lost, [folder])
        if present:
            return {name: (folder / name).read_bytes() for name in names}
    return {}


def _archive(cifar: Cifar, folders: Sequence[Path], download: bool) -> Path:
    for folder in folders:
        if (folder / cifar.archive.name).is_file():
            return folder / cifar.archive.name
    if download:
        return fetch(cifar.archive, folders[-1])
    for path in (folder / name for folder in folders for name in cifar.python):
        if path.exists():
            raise DataError(
                f"{path} is the python version, which only pickle can read, and no pickle is "
                f"opened here; get the binary version {cifar.archive.name} instead (--download)"
            )
    raise missing(cifar.archive.name, folders)


def _members(cifar: Cifar, archive: Path) -> dict[str, bytes]:
    """Return the files of the set, read in place: nothing is unpacked to the disk."""
    wanted = {f"{cifar.folder}/{name}": name for name in (*cifar.train, cifar.test)}
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = wanted.get(member.name.removeprefix("./"))
                stream = tar.extractfile(member) if name and member.isfile() else None
                if name and stream:
                    found[name] = stream.read()
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"{archive} is damaged ({error}); fetch it again") from error
    for path, name in wanted.items():
        if name not in found:
            raise DataError(f"{archive} does not hold {path}; fetch it again")
    return found


def _records(cifar: Cifar, name: str, data: bytes) -> tuple[Pixels, Labels]:
    record = cifar.label_bytes + PIXELS
    if not data or len(data) % record:
        raise DataError(
            f"{name} must hold images of {record:,} bytes each, but has {len(data):,} bytes"
        )
    table = np.frombuffer(data, np.uint8).reshape(-1, record)
    labels = table[:, cifar.label_bytes - 1].astype(np.int64)
    if labels.max() >= len(cifar.classes):
        raise DataError(
            f"{name} has label {labels.max()}, but {cifar.name} ends at {len(cifar.classes) - 1}"
        )
    planes = table[:, cifar.label_bytes :].reshape(-1, 3, SIDE, SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels  # (N, H, W, C)


for _cifar in (CIFAR10, CIFAR100):
    DATASETS.register(_cifar.name)(
        DataSet(
            name=_cifar.name,
            classes=_cifar.classes,
            shape=(3, SIDE, SIDE),
            sizes=(45_000, 5_000, 10_000),
            source=PAGE + "cifar.html",
            licence="none stated; cite Krizhevsky 2009",
            read=partial(read, _cifar),
        )
    )
