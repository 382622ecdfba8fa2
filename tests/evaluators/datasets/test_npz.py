from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.data import DataSpec, load
from evaluators.datasets._npz import read_npz
from search_spaces.errors import DataError

IMAGES = np.arange(12 * 64, dtype=np.uint32).reshape(12, 8, 8).astype(np.uint8)
LABELS = np.arange(12) % 3


@pytest.fixture
def save(tmp_path):
    def write(**arrays):
        path = tmp_path / "set.npz"
        np.savez(path, **arrays)
        return path

    return write


@given(
    st.sampled_from([1, 3]),
    st.sampled_from(["NHW", "NHWC", "NCHW"]),
    st.tuples(st.integers(4, 12), st.integers(4, 12)),
    st.sampled_from([np.uint8, np.int16, np.int64, np.uint64]),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_round_trip(tmp_path_factory, channels, layout, side, dtype, column, seed):
    rng = np.random.default_rng(seed)
    channels = 1 if layout == "NHW" else channels
    images = rng.integers(0, 256, (9, *side, channels), dtype=np.uint8)  # (N, H, W, C)
    stored = {"NHW": images[..., 0], "NHWC": images, "NCHW": images.transpose(0, 3, 1, 2)}[layout]
    labels = rng.permutation(np.arange(9) % 3).astype(dtype) * 7
    path = tmp_path_factory.getbasetemp() / "round_trip.npz"
    np.savez(path, x=stored, y=labels[:, None] if column else labels)
    arrays = read_npz(path)
    got_images, got_labels = arrays.splits["train"]
    assert np.array_equal(got_images, images)
    assert np.array_equal(got_labels * 7, labels)
    assert got_labels.dtype == np.int64
    assert arrays.classes == ("0", "7", "14")


@pytest.mark.parametrize(
    ("names", "sizes"),
    [
        ({"x": "y"}, [6, 3, 3]),
        ({"images": "labels"}, [6, 3, 3]),
        ({"x_train": "y_train"}, [6, 3, 3]),
        ({"x_train": "y_train", "x_test": "y_test"}, [9, 3, 12]),
        ({"x_train": "y_train", "x_valid": "y_valid"}, [12, 6, 6]),
        ({"x_train": "y_train", "x_validation": "y_validation", "x_test": "y_test"}, [12, 12, 12]),
        (
            {
                "train_images": "train_labels",
                "val_images": "val_labels",
                "test_images": "test_labels",
            },
            [12, 12, 12],
        ),
    ],
)
def test_names_of_arrays(save, names, sizes):
    path = save(**dict.fromkeys(names, IMAGES), **dict.fromkeys(names.values(), LABELS[:, None]))
    data = load(DataSpec(str(path)))
    assert [len(split) for split in (data.train, data.val, data.test)] == sizes
    assert data.shape == (1, 8, 8)


def test_class_names_and_size(save):
    path = save(x=IMAGES, y=LABELS + 5, classes=["ant", "bee", "cow"])
    data = load(DataSpec(str(path), image_size=12))
    assert data.classes == ("ant", "bee", "cow")
    assert data.shape == (1, 12, 12)


def test_oblong_images_stay_oblong(save):
    data = load(DataSpec(str(save(x=np.zeros((9, 8, 12, 3), np.uint8), y=np.arange(9) % 3))))
    assert data.shape == (3, 8, 12)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": IMAGES / 255.0, "y": LABELS}, r"x must be uint8 .* 0 to 1 with \(x \* 255\)"),
        (
            {"x": IMAGES.astype(int), "y": LABELS},
            r"not int64; .* 0 to 255 with x\.astype\(",
        ),
        (
            {"x": np.zeros((9, 3, 8, 3), np.uint8), "y": LABELS[:9]},
            r"\(N, C, H, W\) with C 1 or 3, but \(9, 3, 8, 3\) could be either of the last two",
        ),
        ({"x": np.zeros((9, 8, 8, 4), np.uint8), "y": LABELS[:9]}, "is none of them; transpose"),
        ({"x": np.zeros((9, 64), np.uint8), "y": LABELS[:9]}, r"\(9, 64\) is none of them"),
        ({"x": IMAGES[:0], "y": LABELS[:0]}, r"x is empty, with the shape \(0, 8, 8\)"),
        ({"x": IMAGES, "y": LABELS / 2}, "y must be integers, not float64; number the classes"),
        ({"x": IMAGES, "y": np.zeros((12, 14), int)}, r"y must have the shape .*not \(12, 14\)"),
        ({"x": IMAGES, "y": LABELS - 1}, "y has the label -1; remove images without a class"),
        ({"x": IMAGES, "y": LABELS[:11]}, "x has 12 images and y has 11 labels"),
        ({"x": IMAGES}, "array x needs its labels in an array y"),
        ({"z": IMAGES}, "no images in the file; expected arrays x_train and y_train"),
        ({"x": IMAGES, "y": LABELS, "classes": ["a"]}, r"name each of the 3 labels .* \(1,\)"),
        ({"x_test": IMAGES, "y_test": LABELS}, "a train split is needed, but there is only test"),
        ({"x": IMAGES, "y": LABELS * 0}, "at least 2 classes are needed, found 1"),
        (
            {"x": IMAGES, "y": np.array(list("abc" * 4), object)},
            "not a readable .*pickle",
        ),
        (
            {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:, 1:], "y_test": LABELS},
            r"must have one shape, not \[\(7, 8, 1\), \(8, 8, 1\)\]",
        ),
        (
            {"x_train": IMAGES, "y_train": LABELS, "x_val": IMAGES, "y_val": LABELS}
            | {"x_valid": IMAGES, "y_valid": LABELS},
            "one split is there twice: x_train, x_val, x_valid",
        ),
        (
            {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES, "y_test": LABELS % 2},
            "class '2' is in train and not in test",
        ),
    ],
)
def test_what_is_refused(save, arrays, message):
    path = save(**arrays)
    with pytest.raises(DataError, match=message):
        load(DataSpec(str(path)))


def test_damaged_files(tmp_path, save):
    path = save(x=IMAGES, y=LABELS)
    whole = path.read_bytes()
    for data in (b"", b"no zip", whole[:300], whole.replace(b"\x93NUMPY", b"\x93NUMPI")):
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"not a readable .npz file"):
            read_npz(path)


def test_a_member_that_is_no_array(tmp_path):
    path = tmp_path / "set.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"no array")
    with pytest.raises(DataError, match=r"x\.npy is no array"):
        read_npz(path)


def test_a_file_that_swells(tmp_path, monkeypatch):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=np.zeros((100, 99, 99), np.uint8), y=np.arange(100) % 2)
    path = tmp_path / "set.npz"
    path.write_bytes(buffer.getvalue())
    assert path.stat().st_size < 20_000
    monkeypatch.setattr("evaluators.datasets._npz.available_bytes", lambda: 1_000_000)
    with pytest.raises(DataError, match=r"more than 60% of .* store fewer or smaller images"):
        read_npz(path)
