"""Eight bits: ranges from training images, accuracy before and after, and where the data are."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
import torch

import nas
from evaluators.data import DataSpec, Images, load
from nas.agreement import Agreement
from nas.cli import main
from nas.exporter import ExportError, Model, save
from nas.finalists import Finish
from nas.rounding import calibration, spread
from nas.runs import create_run
from nas.setup import Setup
from search_spaces.arch import Arch, Task
from search_spaces.errors import SpecError
from search_spaces.network import build

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.export
ARCH = Arch.from_text("stem(width=8) | stage(width=16,stride=2): mbconv(expand=3), csc | head")


@pytest.fixture(scope="module")
def run(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder with one finalist of a search for 8 bits."""
    config = nas.SearchConfig(data=str(toy / "images.npz"), target="cpu-int8", final_epochs=8)
    run = create_run(config, tmp_path_factory.mktemp("runs") / "run")
    setup = Setup(config)
    recipe = setup.recipe(setup.final_epochs)
    finish = Finish(setup.data, recipe, run / "models", formats=setup.formats)
    assert list(finish(ARCH, setup.task))
    return run


def model_of(images: Images | None, shape: tuple[int, int, int] = (1, 28, 28)) -> Model:
    task = Task(10, shape)
    names = images.classes if images else tuple(map(str, range(10)))
    network = build(ARCH, task, seed=1).eval()
    return Model(ARCH, task, network, names, (0.3,) * shape[0], (0.3,) * shape[0], images)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit, match="2"):
        main(["export", *map(str, arguments)])
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_a_search_for_8_bits_exports_them(run: Path) -> None:
    (folder,) = (run / "models").iterdir()
    found = json.loads((folder / "metrics.json").read_text())
    figures = found["formats"]["onnx-int8"]
    assert figures["origin"] == "onnx"
    assert figures["origin_test_accuracy"] == pytest.approx(found["test_accuracy"], abs=1e-9)
    assert figures["test_images"] == found["test_images"] == 48
    low, middle, high = (figures[f"test_accuracy{end}"] for end in ("_low", "", "_high"))
    assert low < high
    assert low <= middle <= high
    assert (
        f"test accuracy {middle:.2%} (95 % interval {low:.2%}" in (folder / "README.md").read_text()
    )
    session = onnxruntime.InferenceSession(folder / "model.int8.onnx")
    assert session.get_inputs()[0].type == "tensor(float)"
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == ["0", "1", "2"]


def test_a_run_knows_its_data(
    run: Path, toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["export", str(run), "--format", "onnx-int8", "--out", str(tmp_path / "out")])
    assert "onnx-int8: test accuracy" in capsys.readouterr().out
    moved = run / "models" / next((run / "models").iterdir()).name
    error = refused(capsys, tmp_path / "out", "--format", "onnx-int8", "--out", tmp_path / "two")
    assert "trained on 'images.npz': give its folder or file by --data" in error
    options = ("--format", "onnx-int8", "--data", toy / "images.npz", "--out", tmp_path / "two")
    with pytest.raises(SystemExit, match="0"):
        main(["export", str(tmp_path / "out"), *map(str, options), "--json"])
    row = json.loads(capsys.readouterr().out)[-1]
    before = json.loads((moved / "metrics.json").read_text())["formats"]["onnx-int8"]
    assert row["test_accuracy"] == before["test_accuracy"]
    assert (tmp_path / "two/model.int8.onnx").read_bytes() == (
        moved / "model.int8.onnx"
    ).read_bytes()


def test_other_images_are_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--format", "onnx-int8", "--data", "bundled", "--out", tmp_path / "out")
    assert "images of 'bundled' are for" in refused(capsys, run, *options)
    assert not (tmp_path / "out").exists()


def test_fresh_weights_need_images_of_their_shape(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--format", "onnx-int8", "--out", tmp_path / "out")
    error = refused(capsys, ARCH, "--input", "3x32x32", *options)
    assert "8 bits need training images of 3x32x32 to take their ranges from: give" in error
    pixels = np.random.default_rng(0).integers(0, 256, (40, 20, 20, 3), dtype=np.uint8)
    np.savez(tmp_path / "own.npz", x_train=pixels, y_train=np.arange(40) % 4)
    with pytest.raises(SystemExit, match="0"):
        main(
            [
                "export",
                str(ARCH),
                "--input",
                "3x24x24",
                "--data",
                str(tmp_path / "own.npz"),
                *map(str, options),
            ]
        )
    assert nas.load(tmp_path / "out")(torch.rand(1, 3, 24, 24)).shape == (1, 4)


def test_without_data_of_its_own_there_is_no_accuracy(tmp_path: Path) -> None:
    *_, found = save(model_of(None), tmp_path / "out", ["onnx-int8"])
    assert found.rounding is not None
    assert found.rounding.test_accuracy is None
    assert found.agreement.limit is None
    assert (
        found.rounding.latency_ratio_low
        <= found.rounding.latency_ratio
        <= found.rounding.latency_ratio_high
    )
    with pytest.raises(SpecError, match="images of 3x32x32"):
        save(model_of(None, (3, 32, 32)), tmp_path / "other", ["onnx-int8"])


def test_figures_stay_when_a_further_format_joins(tmp_path: Path) -> None:
    save(model_of(None), tmp_path, ["onnx-int8"])
    save(model_of(None), tmp_path, ["python"], beside={"metrics.json": b'{"accuracy": 0.5}'})
    found = json.loads((tmp_path / "metrics.json").read_text())
    assert found["accuracy"] == 0.5
    assert "onnx-int8: " in (tmp_path / "README.md").read_text()


def test_ranges_come_from_all_classes_of_the_training_images() -> None:
    images = load(DataSpec())
    labels, order = images.train.labels.sort()
    part = spread(replace(images.train, images=images.train.images[order], labels=labels), 128)
    assert len(part) == 128
    assert len(part.labels.unique()) == 10
    batches = calibration(model_of(images))
    assert sum(map(len, batches)) == 128
    assert min(map(float, map(torch.min, batches))) >= 0
    assert max(map(float, map(torch.max, batches))) <= 1


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({}, ""),
        (
            {"top1_agreement": 0.4},
            "its best class is the network's on 40% of 32 images, fewer than 50%",
        ),
        ({"max_abs_error": float("nan")}, "its scores differ from the network's by nan"),
        ({"limit": 1e-4}, "its scores differ from the network's by 0.3, more than 0.0001"),
    ],
)
def test_either_limit_tells_what_is_over_it(change: dict[str, Any], fault: str) -> None:
    assert replace(Agreement(32, 0.3, None, 0.9, 0.5, 1.0, 1.0, 1.0), **change).fault == fault


def test_a_file_over_its_limit_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.exporters.onnx_int8.Normalised", lambda net, m, s: _Turned(net))
    with pytest.raises(ExportError, match=r"model\.int8\.onnx: its best class is the network's on"):
        save(model_of(None), tmp_path / "out", ["onnx-int8"])
    assert not (tmp_path / "out").exists()


class _Turned(torch.nn.Module):
    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = -self.network(image)
        return scores
