"""Models of ours by timm's own means; skipped where timm or torchvision does not run."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch

import nas
from evaluators.runtimes import TargetUnavailable
from nas.exporter import ExportError, Model, save
from search_spaces.arch import Arch, Task
from search_spaces.network import build

if TYPE_CHECKING:
    from pathlib import Path

ARCH = Arch.from_text("stem(width=8) | stage(width=16,stride=2): mbconv(expand=3), csc | head")
TASK = Task(5, (3, 32, 32))
NAME = f"nas/{ARCH.digest}"


@pytest.fixture(scope="module")
def timm() -> Any:
    try:
        return importlib.import_module("timm")
    except (ImportError, RuntimeError) as error:  # torchvision built for another torch
        pytest.skip(f"timm does not run here: {error}")


@pytest.fixture(scope="module")
def folder(timm: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from nas.timm_models import register

    place = tmp_path_factory.mktemp("models") / "m"
    network = build(ARCH, TASK, seed=1).eval()
    save(Model(ARCH, TASK, network, tuple("abcde"), (0.3,) * 3, (0.2,) * 3), place, ["safetensors"])
    assert register(place) == [NAME]
    return place


def test_scores_are_those_of_the_folder(timm: Any, folder: Path) -> None:
    model = timm.create_model(NAME, pretrained=True).eval()
    image = torch.rand(2, *TASK.shape)
    about = model.pretrained_cfg
    mean, std = (torch.tensor(about[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    torch.testing.assert_close(model((image - mean) / std), nas.load(folder)(image))
    assert (about["num_classes"], tuple(about["input_size"])) == (5, TASK.shape)
    assert ARCH.digest in " ".join(timm.list_models("nas_*", pretrained=True))


def test_without_pretrained_weights_are_fresh(timm: Any, folder: Path) -> None:
    fresh, trained = (timm.create_model(NAME, pretrained=p).state_dict() for p in (False, True))
    assert any(not torch.equal(fresh[name], trained[name]) for name in trained)


@pytest.mark.parametrize("pretrained", [False, True])
def test_classes_and_channels_are_adapted(timm: Any, folder: Path, pretrained: bool) -> None:
    model = timm.create_model(NAME, pretrained=pretrained, num_classes=7, in_chans=1).eval()
    assert model(torch.rand(2, 1, 32, 32)).shape == (2, 7)
    assert model.get_classifier().out_features == model.num_classes == 7
    if pretrained:
        kept = timm.create_model(NAME, pretrained=True).state_dict()
        ours = model.state_dict()
        same = [n for n in kept if kept[n].shape == ours[n].shape and n.startswith("parts.stage")]
        assert all(torch.equal(kept[n], ours[n]) for n in same)


def test_features(timm: Any, folder: Path) -> None:
    pooled = timm.create_model(NAME, pretrained=True, num_classes=0).eval()
    assert pooled(torch.rand(2, *TASK.shape)).shape == (2, pooled.num_features)
    maps = timm.create_model(NAME, features_only=True, out_indices=(0, 1)).eval()
    found = maps(torch.rand(2, *TASK.shape))
    assert [tuple(f.shape[1:]) for f in found] == [(8, 16, 16), (16, 8, 8)]
    assert maps.feature_info.reduction() == [2, 4]


def test_other_names_are_timms(timm: Any, folder: Path) -> None:
    assert timm.create_model("resnet10t", num_classes=2)(torch.rand(1, 3, 64, 64)).shape == (1, 2)
    with pytest.raises(RuntimeError, match="Unknown model"):
        timm.create_model("nas/ffffffffffff")


def test_what_is_no_model_is_refused(timm: Any, folder: Path, tmp_path: Path) -> None:
    from nas.timm_models import register

    with pytest.raises(ExportError, match="is neither a model's folder nor a hub with models"):
        register(tmp_path)


def test_a_hub_is_registered(timm: Any, folder: Path, tmp_path: Path) -> None:
    from nas.hub import Hub
    from nas.timm_models import register

    Hub(str(tmp_path / "hub")).push(str(folder), "shirts")
    assert register(tmp_path / "hub") == [NAME]
    assert timm.create_model(NAME, pretrained=True).num_classes == 5


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from nas.timm_models import register

    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(TargetUnavailable, match=r"pip install 'nas-compact\[timm\]'"):
        register(tmp_path)
