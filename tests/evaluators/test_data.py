from __future__ import annotations

import gzip
import hashlib
import pickle
import re
import runpy
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluators.data import DATASETS, DataSpec, known_data, load
from search_spaces.errors import DataError, SpecError, UnknownName

ROOT = Path(__file__).parents[2]
BUNDLED = ROOT / "evaluators" / "bundled" / "fashion_mnist_subset.npz"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(scope="module")
def bundled():
    return load(DataSpec())


def hashes(split) -> set[str]:
    return {hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in split.images}


def test_bundled_is_balanced_and_fits_the_table(bundled):
    entry = DATASETS["bundled"]
    assert bundled.shape == entry.shape == (1, 28, 28)
    assert bundled.classes == entry.classes
    for split, size in zip((bundled.train, bundled.val, bundled.test), entry.sizes, strict=True):
        assert len(split) == size
        assert split.labels.bincount().tolist() == [size // 10] * 10


def test_bundled_has_no_image_twice(bundled):
    seen = [hashes(split) for split in (bundled.train, bundled.val, bundled.test)]
    assert list(map(len, seen)) == [10_000, 2_000, 2_000]
    assert len(set.union(*seen)) == 14_000


def test_tensors_are_bytes_and_channels_last(bundled):
    images, labels = bundled.val.images, bundled.val.labels
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64
    assert images.shape == (2_000, 1, 28, 28)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_mean_and_std_are_those_of_the_training_images(bundled):
    pixels = bundled.train.images.double() / 255
    assert bundled.mean == pytest.approx([pixels.mean().item()])
    assert bundled.std == pytest.approx([pixels.std(correction=0).item()])


def test_images_print_in_one_line_and_load_once(bundled):
    assert load(DataSpec()) is bundled
    assert "train=Split(10,000 images)" in repr(bundled)
    assert "\n" not in repr(bundled)


def test_image_size_resizes(bundled):
    small = load(DataSpec(image_size=8))
    assert small.shape == (1, 8, 8)
    assert small.train.labels.equal(bundled.train.labels)
    assert small.mean == pytest.approx(bundled.mean, abs=0.02)


def test_spec_can_be_hashed_pickled_and_printed():
    spec = DataSpec("pets", image_size=32, seed=3)
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert hash(spec) == hash(DataSpec("pets", image_size=32, seed=3))
    assert "image_size=32" in repr(spec)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": ""}, "`name` must be a data set"),
        ({"image_size": 4}, "`image_size` must be from 8 to 1024, not 4"),
        ({"seed": -1}, "`seed` must not be negative, but is -1"),
    ],
)
def test_spec_out_of_range(values, message):
    with pytest.raises(SpecError, match=message):
        DataSpec(**values)


def test_sized_for_an_architecture():
    spec = DataSpec("bundled", seed=3)
    assert spec.sized(None) == spec
    assert spec.sized(20) == replace(spec, image_size=20) == spec.sized(20).sized(20)
    with pytest.raises(SpecError, match=r"24 pixels .* were asked .*`resolution` is 20: leave"):
        replace(spec, image_size=24).sized(20)


def test_unknown_name():
    with pytest.raises(
        UnknownName,
        match=r"no folder, no .npz .*'cifar11'; did you mean 'cifar10'.*known: bundled, cifar10, ",
    ):
        load(DataSpec("cifar11"))


def test_a_file_of_another_kind(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("x")
    with pytest.raises(DataError, match=r"notes.txt: must be a folder .* or an \.npz file"):
        load(DataSpec(str(path)))


def test_a_path_that_cannot_be_read(tmp_path, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match="Permission denied"):
        load(DataSpec(str(tmp_path)))


def test_a_constant_channel_can_be_divided_by(tmp_path):
    path = tmp_path / "white.npz"
    np.savez(path, x=np.full((6, 8, 8), 255, np.uint8), y=np.repeat([0, 1], 3))
    images = load(DataSpec(str(path)))
    assert images.mean == (1.0,)
    assert images.std == (1 / 255,)


def test_too_large_for_the_memory(monkeypatch):
    monkeypatch.setattr("evaluators.datasets._images.available_bytes", lambda: 10_000_000)
    with pytest.raises(
        DataError,
        match=re.escape(
            "bundled: 14,000 images of 1x30x30 need 0.0 GB, more than 60% of the 0.0 GB of free "
            "memory; choose a smaller --image-size (now 30)"
        ),
    ):
        load(DataSpec(image_size=30))


def test_known_data_is_a_table():
    table = {entry.name: entry for entry in known_data()}
    assert list(table) == ["bundled", "cifar10", "cifar100", "fashion-mnist"]
    assert list(table) == list(DATASETS)
    assert {name: len(entry.classes) for name, entry in table.items()} == {
        "bundled": 10,
        "cifar10": 10,
        "cifar100": 100,
        "fashion-mnist": 10,
    }
    assert all(entry.source and entry.licence for entry in table.values())
    assert sum(table["cifar100"].sizes) == 60_000
    assert "read" not in repr(table["bundled"])


def test_the_table_needs_no_torch():
    script = "import sys; from evaluators.data import known_data; known_data(); print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "evaluators.data" in modules
    assert "torch" not in modules


def test_the_same_images_in_another_process_and_folder(tmp_path):
    """Nothing depends on the hash seed or on the working directory."""
    path = tmp_path / "set.npz"
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 8, 8), dtype=np.uint8)
    np.savez(path, images=images, labels=np.arange(40) % 4)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from evaluators.data import *; "
        "d = load(DataSpec(sys.argv[2], seed=5)); print(d.test.images.sum((1, 2, 3)).tolist()); "
        "assert len(load(DataSpec()).test) == 2000"
    )
    printed = subprocess.run(
        [sys.executable, "-c", script, str(ROOT), str(path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    here = load(DataSpec(str(path), seed=5)).test.images.sum((1, 2, 3)).tolist()
    assert printed.strip() == str(here)


needs_debian = pytest.mark.skipif(
    not DEBIAN.is_dir(), reason="the Debian package dataset-fashion-mnist is absent"
)


@needs_debian
def test_the_script_draws_the_bundled_images_again():
    script = runpy.run_path(str(ROOT / "tools" / "make_bundled_data.py"))
    drawn = script["draw"](str(DEBIAN), 0)
    with np.load(BUNDLED) as file:
        assert sorted(file.files) == sorted(drawn)
        assert all(np.array_equal(file[name], drawn[name]) for name in drawn)


@needs_debian
@pytest.mark.slow
def test_the_script_makes_the_bundled_file_again(tmp_path):
    out = tmp_path / "again.npz"
    subprocess.run(
        [sys.executable, "-m", "tools.make_bundled_data", "--source", DEBIAN, "--out", out],
        cwd=ROOT,
        check=True,
    )
    assert out.read_bytes() == BUNDLED.read_bytes()


def test_bundled_file_is_small_and_licensed():
    assert BUNDLED.stat().st_size < 8e6
    assert "Zalando SE" in (BUNDLED.parent / "LICENSE").read_text("utf-8")


def test_published_data_gets_a_tenth_for_validation(tmp_path):
    rng = np.random.default_rng(0)
    for stem, n in (("train", 200), ("t10k", 20)):
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        header = struct.pack(">4B3I", 0, 0, 8, 3, *images.shape)
        labels = struct.pack(">4BI", 0, 0, 8, 1, n) + bytes(i % 10 for i in range(n))
        (tmp_path / f"{stem}-images-idx3-ubyte.gz").write_bytes(
            gzip.compress(header + images.tobytes())
        )
        (tmp_path / f"{stem}-labels-idx1-ubyte").write_bytes(labels)
    data = load(DataSpec("fashion-mnist", data_dir=str(tmp_path)))
    assert [len(s) for s in (data.train, data.val, data.test)] == [180, 20, 20]
    assert data.val.labels.bincount().tolist() == [2] * 10
    assert not hashes(data.train) & hashes(data.val)
