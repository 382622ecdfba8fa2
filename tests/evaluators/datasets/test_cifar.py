from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest

from evaluators.data import DataSpec, load
from evaluators.datasets.cifar import CIFAR10, CIFAR100, Cifar, read
from search_spaces.errors import DataError

both = pytest.mark.parametrize("cifar", [CIFAR10, CIFAR100], ids=lambda cifar: cifar.name)


def records(cifar: Cifar, n: int) -> bytes:
    """Image i has the class i; red i, green 1, blue 2, and its first row is 255."""
    planes = np.empty((n, 3, 32, 32), np.uint8)
    planes[:, 0] = np.arange(n)[:, None, None]
    planes[:, 1], planes[:, 2] = 1, 2
    planes[:, :, 0] = 255
    labels = np.zeros((n, cifar.label_bytes), np.uint8)
    labels[:, -1] = np.arange(n) % len(cifar.classes)
    return np.concatenate([labels, planes.reshape(n, -1)], axis=1).tobytes()


def members(cifar: Cifar, n=None) -> dict[str, bytes]:
    n = n or len(cifar.classes)
    return {name: records(cifar, n) for name in (*cifar.train, cifar.test)}


def pack(cifar: Cifar, path, files: dict[str, bytes], prefix="") -> None:
    with tarfile.open(path / cifar.archive.name, "w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(f"{prefix}{cifar.folder}/{name}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@both
@pytest.mark.parametrize("form", ["archive", "./archive", "folder", "bare", "named"])
def test_read(tmp_path, cifar, form):
    files = members(cifar)
    if form.endswith("archive"):
        pack(cifar, tmp_path, files, prefix=form.removesuffix("archive"))
    else:
        inner = {"folder": cifar.folder, "bare": "", "named": f"{cifar.name}/{cifar.folder}"}[form]
        (tmp_path / inner).mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (tmp_path / inner / name).write_bytes(data)
    arrays = read(cifar, str(tmp_path), False)
    images, labels = arrays.splits["test"]
    assert images.shape == (len(cifar.classes), 32, 32, 3)
    assert images[7, 5, 9].tolist() == [7, 1, 2]
    assert images[7, 0, 9].tolist() == [255, 255, 255]
    assert labels.tolist() == list(range(len(cifar.classes)))
    assert len(arrays.splits["train"][1]) == len(cifar.classes) * len(cifar.train)
    assert sorted(p.name for p in tmp_path.iterdir()) != []


def test_load_parts_off_a_tenth(tmp_path):
    pack(CIFAR10, tmp_path, members(CIFAR10, 40))
    data = load(DataSpec("cifar10", data_dir=str(tmp_path)))
    assert data.shape == (3, 32, 32)
    assert data.classes[3] == "cat"
    assert [len(s) for s in (data.train, data.val, data.test)] == [180, 20, 40]


@both
def test_missing_archive(tmp_path, cifar):
    with pytest.raises(
        DataError, match=f"{cifar.archive.name} is not in .*--data-dir, or fetch it with --download"
    ):
        read(cifar, str(tmp_path), False)


def test_missing_batch(tmp_path):
    for name, data in members(CIFAR10).items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "data_batch_3.bin").unlink()
    with pytest.raises(DataError, match=r"data_batch_3.bin is not in .*--data-dir"):
        read(CIFAR10, str(tmp_path), False)


@both
@pytest.mark.parametrize("packed", [0, 1])
def test_the_python_version_is_refused(tmp_path, cifar, packed):
    (tmp_path / cifar.python[packed]).mkdir()
    with pytest.raises(
        DataError,
        match=f"{cifar.python[packed]} is the python version, which only pickle .*; "
        f"get the binary version {cifar.archive.name}",
    ):
        read(cifar, str(tmp_path), False)


def test_damaged_archives(tmp_path):
    pack(CIFAR10, tmp_path, members(CIFAR10))
    path = tmp_path / CIFAR10.archive.name
    whole = path.read_bytes()
    for data in (b"", b"no archive", whole[: len(whole) // 2]):
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"is damaged .*; fetch it again"):
            read(CIFAR10, str(tmp_path), False)


def test_an_archive_without_a_batch(tmp_path):
    files = members(CIFAR10)
    del files["test_batch.bin"]
    pack(CIFAR10, tmp_path, files)
    with pytest.raises(DataError, match=r"does not hold cifar-10-batches-bin/test_batch.bin"):
        read(CIFAR10, str(tmp_path), False)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (records(CIFAR10, 10)[:-1], "images of 3,073 bytes each, but has 30,729 bytes"),
        (b"", "images of 3,073 bytes each, but has 0 bytes"),
        (b"\x0a" + records(CIFAR10, 10)[1:], "has label 10, but cifar10 ends at 9"),
    ],
)
def test_damaged_records(tmp_path, data, message):
    pack(CIFAR10, tmp_path, members(CIFAR10) | {"data_batch_2.bin": data})
    with pytest.raises(DataError, match=f"data_batch_2.bin .*{message}"):
        read(CIFAR10, str(tmp_path), False)


def test_class_names():
    assert len(set(CIFAR100.classes)) == 100
    assert list(CIFAR100.classes) == sorted(CIFAR100.classes)
    assert list(CIFAR10.classes) == sorted(CIFAR10.classes)
