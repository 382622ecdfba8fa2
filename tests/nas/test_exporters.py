"""What is exported says what the network says, comes back, and is never half a file."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pytest
import torch

from evaluators.data import DataSpec
from evaluators.data import load as load_images
from evaluators.onnx_graph import Normalised
from evaluators.runtimes import GraphError
from nas.exporter import EXPORTERS, ExportError, Model, export, read, save
from search_spaces.arch import Arch, Stage, Task
from search_spaces.block import BLOCKS
from search_spaces.errors import SpecError, UnknownName
from search_spaces.heads import Head
from search_spaces.network import build
from search_spaces.stems import Stem

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

pytestmark = pytest.mark.export
TASK = Task(3, (1, 28, 28))
ARCH = Arch(Stem(8), (Stage(16, 2, (BLOCKS["mbconv"](),)),), Head())
FILES = ["weights.safetensors", "model.onnx"]
BESIDE = ["README.md", "arch.json", "architecture.svg", "checksums.json", "task.json"]


@pytest.fixture
def model() -> Model:
    network = build(ARCH, TASK, seed=1)
    network.train()(torch.rand(4, *TASK.shape))
    return Model(ARCH, TASK, network.eval(), ("a", "b", "ç"), (0.3,), (0.2,))


@torch.inference_mode()
def scores(model: Model, images: Tensor) -> Tensor:
    result: Tensor = model.network((images - model.mean[0]) / model.std[0])
    return result


def test_a_model_comes_back(model: Model, tmp_path: Path) -> None:
    files = save(model, tmp_path / "new" / "folder")
    assert [file.path.name for file in files] == FILES
    folder = tmp_path / "new" / "folder"
    assert sorted([*FILES, *BESIDE]) == sorted(file.name for file in folder.iterdir())
    back = read(tmp_path / "new" / "folder")
    assert not any(module.training for module in back.network.modules())
    assert (back.arch, back.task, back.classes) == (model.arch, model.task, model.classes)
    assert (back.mean, back.std) == (model.mean, model.std)
    images = torch.rand(2, *TASK.shape)
    assert torch.equal(scores(back, images), scores(model, images))
    assert Arch.from_json((tmp_path / "new" / "folder" / "arch.json").read_text()) == ARCH


def test_onnxruntime_alone_needs_only_the_file(model: Model, tmp_path: Path) -> None:
    save(model, tmp_path, ["onnx"])
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (5, *TASK.shape), dtype=np.uint8)
    (found,) = session.run(None, {"image": pixels.astype(np.float32) / 255})
    wanted = scores(model, torch.from_numpy(pixels).float() / 255)
    torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=1e-4, atol=1e-4)
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["classes"]) == ["a", "b", "ç"]
    assert (json.loads(about["mean"]), json.loads(about["std"])) == ([0.3], [0.2])
    assert Arch.from_json(about["arch"]) == ARCH
    assert about["digest"] == ARCH.digest
    assert "pixels / 255" in about["input"]


def test_a_network_trained_on_images_is_exported_with_their_names(tmp_path: Path) -> None:
    images = load_images(DataSpec())
    task = Task(len(images.classes), images.shape)
    files = export(ARCH, build(ARCH, task), task, images, tmp_path)
    assert [file.path.name for file in files] == FILES
    assert read(tmp_path).classes == images.classes


@pytest.mark.parametrize("training", [True, False])
def test_the_network_stays_as_it_was(model: Model, tmp_path: Path, training: bool) -> None:
    model.network.train(training)
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    save(model, tmp_path)
    assert {module.training for module in model.network.modules()} == {training}
    assert all(tensor.equal(before[n]) for n, tensor in model.network.state_dict().items())


def test_an_onnx_file_that_differs_is_not_written(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other(Normalised):
        def forward(self, image: Tensor) -> Tensor:
            result: Tensor = super().forward(image) + 2e-4 * torch.onnx.is_in_onnx_export()
            return result

    monkeypatch.setattr("nas.exporters.onnx.Normalised", Other)
    with pytest.raises(ExportError, match=r"model\.onnx: its scores differ .* by 0\.0002, more"):
        save(model, tmp_path)
    assert not list(tmp_path.iterdir())


def test_scores_that_are_no_numbers_are_refused(model: Model, tmp_path: Path) -> None:
    with torch.no_grad():
        next(model.network.parameters()).fill_(float("nan"))
    for format_ in (name for name, exporter in EXPORTERS.items() if not exporter.missing()):
        with pytest.raises((ExportError, GraphError), match=r"nan|NaN"):
            save(model, tmp_path, [format_])
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_the_old_files(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(model, tmp_path)
    old = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ExportError, match=r"cannot write to .*: No space left on device"):
        save(model, tmp_path, ["python"])
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == old


def test_the_same_weights_make_the_same_bytes(model: Model) -> None:
    encode = EXPORTERS["safetensors"]().encode
    assert len({encode(model)["weights.safetensors"] for _ in range(20)}) == 1


def test_an_unknown_format_gets_the_nearest_name(model: Model, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown format 'onx'; did you mean 'onnx'"):
        save(model, tmp_path, ["onx"])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda d: (d / "weights.safetensors").unlink(),
            r"cannot read .*weights\.safetensors: No such file",
        ),
        (lambda d: (d / "arch.json").unlink(), "cannot read .*arch.json: No such file"),
        (lambda d: (d / "arch.json").write_text("{}"), "schema"),
        (lambda d: (d / "task.json").write_text("[1"), "task.json is damaged"),
        (lambda d: (d / "task.json").write_text("{}"), "task.json is damaged: KeyError"),
        (lambda d: (d / "weights.safetensors").write_bytes(b"PK\x03\x04 a pickle"), "damaged"),
        (lambda d: truncate(d / "weights.safetensors"), "damaged"),
        (lambda d: (d / "arch.json").write_text(other_arch().to_json()), "another architecture"),
        (lambda d: foreign(d / "weights.safetensors"), "was not exported from here"),
        (lambda d: save_other(d), "holds the weights of architecture .*, not"),
    ],
)
def test_damage_is_named(model: Model, tmp_path: Path, damage: object, message: str) -> None:
    save(model, tmp_path, ["safetensors"])
    (tmp_path / "checksums.json").unlink()  # or it would tell first
    assert callable(damage)
    damage(tmp_path)
    with pytest.raises(ExportError, match=message):
        read(tmp_path)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def other_arch() -> Arch:
    return replace(ARCH, stem=Stem(16))


def foreign(path: Path) -> None:
    from safetensors.torch import load, save

    path.write_bytes(save(load(path.read_bytes())))


def save_other(directory: Path) -> None:
    """Put the weights of another architecture in the place of the right ones."""
    arch = other_arch()
    other = Model(arch, TASK, build(arch, TASK), ("a", "b", "c"), (0.0,), (1.0,))
    (file,) = save(other, directory / "other", ["safetensors"])
    file.path.replace(directory / file.path.name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": ("a", "b")}, "3 classes need as many names"),
        ({"mean": (0.1, 0.2)}, r"must hold 1 values each"),
        ({"std": (0.0,)}, r"`std` \(=\(0\.0,\)\): finite, and std above 0"),
        ({"mean": (float("nan"),)}, "finite"),
    ],
)
def test_names_and_statistics_fit_the_task(
    model: Model, change: dict[str, object], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        replace(model, **change)  # type: ignore[arg-type]
