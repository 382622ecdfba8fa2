from __future__ import annotations

import gzip
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from evaluators.datasets import fashion_mnist
from evaluators.datasets.fashion_mnist import read, read_idx
from search_spaces.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return b"\0\0\x08" + bytes([array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def write(folder: Path, n=30, packed=True) -> None:
    for stem in ("train", "t10k"):
        images, labels = np.arange(n * 784).reshape(n, 28, 28) % 256, np.arange(n) % 10
        for name, array in ((f"{stem}-images-idx3", images), (f"{stem}-labels-idx1", labels)):
            data = gzip.compress(idx(array)) if packed else idx(array)
            (folder / f"{name}-ubyte{'.gz' if packed else ''}").write_bytes(data)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("where", ["", "fashion-mnist"])
def test_read(tmp_path, packed, where):
    (tmp_path / where).mkdir(exist_ok=True)
    write(tmp_path / where, packed=packed)
    arrays = read(str(tmp_path), False)
    images, labels = arrays.splits["test"]
    assert images.shape == (30, 28, 28, 1)
    assert images[3, 0, :4, 0].tolist() == [(3 * 784 + i) % 256 for i in range(4)]
    assert labels.tolist() == [i % 10 for i in range(30)]


def test_a_missing_file_is_named_with_both_ways_out(tmp_path):
    write(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(
        DataError, match=r"t10k-labels-idx1-ubyte.gz is not in .* --data-dir, .* --download"
    ):
        read(str(tmp_path), False)


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4)])
def test_idx_round_trip(tmp_path, shape):
    array = np.arange(math.prod(shape), dtype=np.uint8).reshape(shape)
    (tmp_path / "a").write_bytes(idx(array))
    assert np.array_equal(read_idx(tmp_path / "a"), array)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.gz", b"no gzip", "a.gz is damaged .*; fetch it again"),
        ("a.gz", gzip.compress(idx(np.zeros((9, 9))), mtime=0)[:-9], "a.gz is damaged"),
        ("a", b"PK\3\4", "not an IDX file of bytes: it begins with 50 4b 03 04"),
        ("a", b"\0\0\x0d\1\0\0\0\0", "not an IDX file of bytes"),
        ("a", b"", "not an IDX file of bytes"),
        ("a", b"\0\0\x08\3\0\0", "not an IDX file of bytes"),
        ("a", idx(np.zeros((5, 5)))[:-1], "holds 24 bytes after its header, which promises 25"),
    ],
)
def test_damaged_idx(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=message):
        read_idx(tmp_path / name)


def test_files_of_another_data_set(tmp_path):
    write(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(29) % 10)))
    with pytest.raises(DataError, match=r"N labels below 10, not \(30, 28, 28\) and \(29,\)"):
        read(str(tmp_path), False)


@pytest.mark.skipif(not fashion_mnist.DEBIAN.is_dir(), reason="dataset-fashion-mnist is absent")
def test_debians_files_are_found_without_a_folder():
    arrays = read(None, False)
    assert {s: images.shape for s, (images, _) in arrays.splits.items()} == {
        "train": (60_000, 28, 28, 1),
        "test": (10_000, 28, 28, 1),
    }
