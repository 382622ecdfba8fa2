from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from evaluators.training import train
from search_spaces.arch import Arch
from search_spaces.errors import DataError, SpecError
from search_spaces.network import build
from tests.evaluators.toy import ARCH, IMAGES, RECIPE, TASK, fingerprint, toy_network

if TYPE_CHECKING:
    from pathlib import Path


def test_going_on_from_a_checkpoint_equals_not_having_stopped(tmp_path: Path) -> None:
    whole, path = toy_network(), tmp_path / "new" / "toy.ckpt"
    expected = list(train(whole, IMAGES, RECIPE))
    assert next(train(toy_network(), IMAGES, RECIPE, checkpoint=path)).epoch == 1
    resumed = toy_network(seed=5)
    results = list(train(resumed, IMAGES, RECIPE, checkpoint=path))
    for result, other in zip(results, expected[1:], strict=True):
        assert (result.epoch, result.loss, result.accuracy) == (
            (other.epoch, other.loss, other.accuracy)
        )
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert [file.name for file in path.parent.iterdir()] == ["toy.ckpt"]


def test_a_finished_checkpoint_gives_its_weights_back(tmp_path: Path) -> None:
    path = tmp_path / "toy.ckpt"
    list(train(first := toy_network(), IMAGES, RECIPE, checkpoint=path))
    assert list(train(second := toy_network(5), IMAGES, RECIPE, checkpoint=path)) == []
    assert fingerprint(first) == fingerprint(second)


def test_foreign_and_damaged_checkpoints_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "toy.ckpt"
    next(train(toy_network(), IMAGES, RECIPE, checkpoint=path))
    with pytest.raises(SpecError, match="the checkpoint's recipe is"):
        next(train(toy_network(), IMAGES, replace(RECIPE, lr=0.01), checkpoint=path))
    other = build(Arch.from_text(str(ARCH).replace("width=8", "width=16")), TASK)
    with pytest.raises(SpecError, match="another network"):
        next(train(other, IMAGES, RECIPE, checkpoint=path))
    for content in (path.read_bytes()[:-100], b"", b"no checkpoint"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="damaged or no checkpoint"):
            next(train(toy_network(), IMAGES, RECIPE, checkpoint=path))
