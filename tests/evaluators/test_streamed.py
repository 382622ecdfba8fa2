from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from evaluators.crops import Crop
from evaluators.data import DataSpec, Images, load
from evaluators.streamed import Streamed
from evaluators.training import evaluate, train
from search_spaces.arch import Task
from search_spaces.errors import DataError, SpecError
from search_spaces.network import build
from tests.evaluators.toy import ARCH, IMAGES, RECIPE, fingerprint, toy_network

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 2 classes of 40 noisy pictures, some wider than high, one class darker."""
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for label, name in enumerate(("dark", "light")):
        (root / name).mkdir()
        for i in range(40):
            shape = (20, 20 + 4 * (i % 3), 3)
            pixels = rng.integers(0, 156, shape) + 100 * label
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{i:02}.png")
    return root


@pytest.fixture(scope="module")
def both(photos: Path) -> tuple[Images, Images]:
    spec = DataSpec(str(photos), image_size=16)
    return load(spec), load(replace(spec, stream=True))


def test_the_images_are_those_in_memory(both: tuple[Images, Images]) -> None:
    memory, disk = both
    assert (disk.classes, disk.shape) == (memory.classes, memory.shape)
    assert (disk.mean, disk.std) == (memory.mean, memory.std)  # the sample is all of them
    for name in ("train", "val", "test"):
        there, here = getattr(memory, name), getattr(disk, name)
        assert torch.equal(here.labels, there.labels)
        indices = torch.randperm(len(there)).split(5)
        for found, index in zip(here.batches(indices), indices, strict=True):
            assert torch.equal(found, there.images[index])
            assert found.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(here.taken(3).images, there.images[:3])


def test_training_and_testing_are_the_same(both: tuple[Images, Images]) -> None:
    networks = []
    for images in both:
        network = build(ARCH, Task(2, images.shape))
        *_, last = train(network, images, replace(RECIPE, epochs=2))
        assert evaluate(network, images.val, images) == last.accuracy
        networks.append(fingerprint(network))
    assert networks[0] == networks[1]


def test_crops_are_boxes_made_whole_and_follow_from_seed_and_image(
    both: tuple[Images, Images],
) -> None:
    split = both[1].train
    indices = torch.arange(len(split)).split(7)
    batches = [torch.cat(list(split.batches(indices, Crop(0.2, seed=s)))) for s in (1, 1, 2)]
    assert torch.equal(batches[0], batches[1])
    assert (batches[0] != batches[2]).flatten(1).any(1).float().mean() > 0.9
    light = batches[0].float().mean((1, 2, 3)) > 128
    assert torch.equal(light.long(), split.labels)  # each is still an image of its class


def test_a_resumed_training_with_crops_goes_on(both: tuple[Images, Images], tmp_path: Path) -> None:
    recipe, path = replace(RECIPE, epochs=2, resized_crop=0.3), tmp_path / "toy.ckpt"
    networks = [build(ARCH, Task(2, both[1].shape), seed) for seed in (0, 0, 5)]
    list(train(networks[0], both[1], recipe))
    next(train(networks[1], both[1], recipe, checkpoint=path))
    list(train(networks[2], both[1], recipe, checkpoint=path))
    assert fingerprint(networks[0]) == fingerprint(networks[2])


def test_crops_need_the_whole_images() -> None:
    with pytest.raises(SpecError, match=r"`resized_crop` \(=0.5\) needs images that stay on disk"):
        next(train(toy_network(), IMAGES, replace(RECIPE, resized_crop=0.5)))


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    for i in range(24):
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        Image.new("RGB", (16, 16), (i, 0, 0)).save(tmp_path / "ab"[i % 2] / f"{i}.png")
    images = load(DataSpec(str(tmp_path), stream=True))
    (tmp_path / "a" / "4.png").write_bytes(b"\x89PNG no more")
    damaged = str(tmp_path / "a" / "4.png")
    splits = (images.train, images.val, images.test)
    (split,) = [s for s in splits if isinstance(s, Streamed) and damaged in s.paths]
    with pytest.raises(DataError, match=r"^a.4\.png: "):
        list(split.batches([torch.arange(len(split))]))


def test_only_a_folder_is_streamed() -> None:
    with pytest.raises(DataError, match="bundled: only a folder of images can be streamed"):
        load(DataSpec("bundled", stream=True))
