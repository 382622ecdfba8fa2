from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluators.data import DataSpec, load
from search_spaces.errors import DataError


def paint(path: Path, colour=(200, 10, 10), size=(20, 20), mode="RGB", **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, colour).save(path, **options)
    return path


def paint_classes(root: Path, classes=("cat", "dog"), n=4, **options) -> Path:
    """n images a class, each of its own shade."""
    for label, name in enumerate(classes):
        for i in range(n):
            paint(root / name / f"{i:03}.png", (40 * label, 5 * i, 0), **options)
    return root


def read(root: Path, **values):
    return load(DataSpec(str(root), **values))


def shades(split) -> set[tuple[int, ...]]:
    return {tuple(image[:, 0, 0].tolist()) for image in split.images}


def test_class_folders_are_split_70_15_15(tmp_path):
    data = read(paint_classes(tmp_path, n=20))
    assert data.classes == ("cat", "dog")
    assert data.shape == (3, 20, 20)
    parts = [data.train, data.val, data.test]
    assert [split.labels.bincount().tolist() for split in parts] == [[14, 14], [3, 3], [3, 3]]
    assert len(set.union(*map(shades, parts))) == 40
    for split in parts:
        assert split.images[:, 0, 0, 0].tolist() == [40 * label for label in split.labels]


def test_images_are_not_sorted_by_class(tmp_path):
    labels = read(paint_classes(tmp_path, n=20)).train.labels.tolist()
    assert labels != sorted(labels)


def test_the_seed_decides_and_the_file_system_does_not(tmp_path, monkeypatch):
    root = paint_classes(tmp_path, n=10)
    one = read(root, seed=1)
    assert shades(one.test) != shades(read(root, seed=2).test)

    walk, iterdir = os.walk, Path.iterdir

    def reversed_walk(top):
        for where, folders, names in walk(top):
            yield where, folders, sorted(names, reverse=True)

    monkeypatch.setattr(os, "walk", reversed_walk)
    monkeypatch.setattr(Path, "iterdir", lambda self: sorted(iterdir(self), reverse=True))
    load.cache_clear()
    again = read(root, seed=1)
    for name in ("train", "val", "test"):
        assert getattr(again, name).images.equal(getattr(one, name).images)
        assert getattr(again, name).labels.equal(getattr(one, name).labels)


@pytest.mark.parametrize(
    ("folders", "sizes"),
    [
        (("train",), [14, 2, 4 - 2]),
        (("train", "test"), [18 - 2, 2, 18]),
        (("train", "val"), [18, 8, 10]),
        (("Train", "valid", "test"), [18, 18, 18]),
        (("train", "validation", "test"), [18, 18, 18]),
    ],
)
def test_split_folders(tmp_path, folders, sizes):
    for folder in folders:
        paint_classes(tmp_path / folder, n=9)
    data = read(tmp_path)
    assert [len(split) for split in (data.train, data.val, data.test)] == sizes


def test_images_in_folders_below_a_class(tmp_path):
    paint_classes(tmp_path, n=3)
    paint(tmp_path / "cat" / "deeper" / "x.png")
    assert sum(len(s) for s in (read(tmp_path).train, read(tmp_path).val, read(tmp_path).test)) == 7


def test_hidden_folders_and_other_files_are_ignored(tmp_path):
    paint_classes(tmp_path, n=3)
    paint(tmp_path / ".git" / "x.png")
    paint(tmp_path / "__MACOSX" / "x.png")
    paint(tmp_path / "cat" / ".thumbs" / "x.png")
    paint(tmp_path / "cat" / "._000.png")
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "readme.md").write_text("no folder")
    data = read(tmp_path)
    assert data.classes == ("cat", "dog")
    assert len(data.train) + len(data.val) + len(data.test) == 6


@pytest.mark.parametrize(
    "ending", ["png", "jpg", "JPEG", "webp", "bmp", "gif", "ppm", "tiff", "tif"]
)
def test_formats(tmp_path, ending):
    for name in ("a", "b"):
        for i in range(3):
            paint(tmp_path / name / f"{i}.{ending}", (200, 10, 10))
    colour = read(tmp_path).train.images[0, :, 5, 5].tolist()
    assert colour == pytest.approx([200, 10, 10], abs=6)


@pytest.mark.parametrize(
    ("mode", "white"), [("L", 255), ("1", 1), ("I;16", 65_535), ("LA", (255, 9))]
)
def test_grey_images_keep_one_channel(tmp_path, mode, white):
    paint_classes(tmp_path, n=0)
    for name in ("a", "b"):
        for i in range(3):
            paint(tmp_path / name / f"{i}.png", white, mode=mode)
    data = read(tmp_path)
    assert data.shape == (1, 20, 20)
    assert data.train.images.unique().tolist() == [255]
    assert len(data.mean) == 1


def test_one_colour_image_makes_all_of_them_rgb(tmp_path):
    for name in ("a", "b"):
        for i in range(3):
            paint(tmp_path / name / f"{i}.png", 7, mode="L")
    paint(tmp_path / "a" / "colour.png")
    assert read(tmp_path).shape[0] == 3


@pytest.mark.parametrize(("mode", "colour"), [("RGBA", (0, 0, 0, 0)), ("LA", (0, 0)), ("P", 0)])
def test_transparent_pixels_are_white(tmp_path, mode, colour):
    options = {"transparency": 0} if mode == "P" else {}
    for name in ("a", "b"):
        for i in range(3):
            paint(tmp_path / name / f"{i}.png", colour, mode=mode, **options)
    assert read(tmp_path).train.images.unique().tolist() == [255]


def test_cmyk(tmp_path):
    for name in ("a", "b"):
        for i in range(3):
            paint(tmp_path / name / f"{i}.jpg", (0, 0, 0, 0), mode="CMYK")
    assert read(tmp_path).train.images.min() >= 250


def test_exif_orientation_is_honoured(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: the left half comes to the top
    image = Image.new("RGB", (32, 32), "white")
    image.paste("black", (0, 0, 16, 32))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(3):
            image.save(tmp_path / name / f"{i}.jpg", exif=exif, quality=95)
    rows = read(tmp_path).train.images[0, 0].float().mean(1)
    assert rows[:14].max() < 20
    assert rows[18:].min() > 235


def test_the_centre_is_cropped_after_scaling_the_shorter_side(tmp_path):
    image = Image.new("RGB", (80, 40), "black")
    image.paste("white", (20, 0, 60, 40))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(3):
            image.save(tmp_path / name / f"{i}.png")
    data = read(tmp_path, image_size=20)
    assert data.shape == (3, 20, 20)
    assert data.train.images[..., 1:-1].unique().tolist() == [255]


@pytest.mark.parametrize(
    ("sizes", "side"),
    [
        ([(30, 30)] * 6, 30),
        ([(30, 40)] * 6, 28),
        ([(30, 30)] * 5 + [(31, 31)], 28),
        ([(8, 8)] * 6, 8),
        ([(8, 9)] * 6, 16),
        ([(230, 230)] * 6, 224),
        ([(20, 90), (41, 60), (62, 50), (70, 80), (55, 99), (20, 20)], 40),
    ],
)
def test_size_by_default(tmp_path, sizes, side):
    for i, size in enumerate(sizes):
        paint(tmp_path / "ab"[i % 2] / f"{i}.png", size=size)
    assert read(tmp_path).shape == (3, side, side)


def test_damaged_images_are_named_together(tmp_path):
    paint_classes(tmp_path, n=9)
    for i in (1, 3, 5, 7):
        (tmp_path / "cat" / f"{i:03}.png").write_bytes(b"not a png")
    with pytest.raises(
        DataError,
        match=r"4 of 18 images cannot be read: cat/001.png \(.*\), cat/003.png \(.*\), "
        r"cat/005.png \(.*\), \.\.\.; replace or remove them$",
    ):
        read(tmp_path)


def test_truncated_images_of_all_splits_are_named(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        paint_classes(tmp_path / split, n=3, size=(32, 32))
        path = tmp_path / split / "cat" / "000.png"
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
        path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(
        DataError, match=r"3 of 18 .*: test/cat/000.png \(.*truncated.*train/cat.*val/cat"
    ):
        read(tmp_path)


def test_only_image_parsers_see_a_file(tmp_path):
    paint_classes(tmp_path, n=3)
    paint(tmp_path / "cat" / "x.eps").rename(tmp_path / "cat" / "x.png")
    with pytest.raises(DataError, match=r"cat/x.png \(cannot identify image file"):
        read(tmp_path)


def test_decompression_bombs_are_refused(tmp_path, monkeypatch):
    paint_classes(tmp_path, n=3)
    paint(tmp_path / "cat" / "bomb.png", size=(40, 40))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(DataError, match=r"1 of 7 .* cat/bomb.png \(.*decompression bomb"):
        read(tmp_path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_images_that_pillow_only_warns_of_are_refused_too(tmp_path, monkeypatch):
    paint_classes(tmp_path, n=3)
    paint(tmp_path / "cat" / "bomb.png", size=(40, 40))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000)
    with pytest.raises(DataError, match=r"cat/bomb.png \(more than 1,000 pixels\)"):
        read(tmp_path)


def test_floating_point_pixels_are_refused(tmp_path):
    paint_classes(tmp_path, n=3)
    paint(tmp_path / "cat" / "x.tiff", 0.5, mode="F")
    with pytest.raises(DataError, match=r"cat/x.tiff \(floating-point pixels"):
        read(tmp_path)


def test_too_large_for_the_memory(tmp_path, monkeypatch):
    paint_classes(tmp_path, n=3)
    monkeypatch.setattr("evaluators.datasets._images.available_bytes", lambda: 10_000)
    with pytest.raises(DataError, match=r"6 images of 3x64x64 need .* smaller --image-size"):
        read(tmp_path, image_size=64)
    monkeypatch.setattr("evaluators.datasets._images.available_bytes", lambda: None)
    assert read(tmp_path, image_size=64).shape == (3, 64, 64)


def test_no_class_folders(tmp_path):
    paint(tmp_path / "x.png")
    with pytest.raises(DataError, match=r"no class folders in it; expected one folder .*cat and"):
        read(tmp_path)


def test_a_class_without_images(tmp_path):
    paint_classes(tmp_path, n=3)
    (tmp_path / "eel").mkdir()
    (tmp_path / "eel" / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"class folder .*eel has no images; add some \(bmp, gif"):
        read(tmp_path)


def test_one_class(tmp_path):
    paint_classes(tmp_path, classes=("cat",), n=5)
    with pytest.raises(DataError, match=r"at least 2 classes are needed, found 1: \['cat'\]"):
        read(tmp_path)


def test_an_empty_train_folder(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="at least 2 classes are needed, found 0"):
        read(tmp_path)


def test_a_class_too_small_to_split(tmp_path):
    paint_classes(tmp_path, n=3)
    paint(tmp_path / "eel" / "0.png")
    with pytest.raises(DataError, match="class 'eel' has 1; add images or give train, val and"):
        read(tmp_path)


@pytest.mark.parametrize(("poor", "rich"), [("test", "train"), ("train", "test")])
def test_a_class_in_one_split_only(tmp_path, poor, rich):
    paint_classes(tmp_path / poor, n=3)
    paint_classes(tmp_path / rich, classes=("cat", "dog", "eel"), n=3)
    with pytest.raises(DataError, match=f"class 'eel' is in {rich} and not in {poor}"):
        read(tmp_path)


def test_no_train_folder(tmp_path):
    paint_classes(tmp_path / "test", n=3)
    with pytest.raises(DataError, match="a folder 'test' but no folder 'train'; add one, or ren"):
        read(tmp_path)


def test_one_split_under_two_names(tmp_path):
    for split in ("train", "val", "valid"):
        paint_classes(tmp_path / split, n=3)
    with pytest.raises(DataError, match=r"val and .*valid are both the val split; keep one"):
        read(tmp_path)
