"""`nas eval` as a user meets it."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from evaluators.data import DataSpec, Split, load
from evaluators.training import evaluate, predict_logits, train
from nas.cli import main
from nas.confusion import confusion, picture
from nas.evaluating import _predictions
from nas.exporter import Model, save
from nas.finalists import keep_metrics
from nas.provenance import FILE, of_training, to_json
from search_spaces.arch import Arch, Task
from search_spaces.network import build
from tests.evaluators.toy import RECIPE

if TYPE_CHECKING:
    from pathlib import Path

ARCH = Arch.from_text("stem(width=8,stride=2) | stage(width=8,stride=2): csc | head")


def call(*arguments: object) -> int | str | None:
    with pytest.raises(SystemExit) as end:
        main(map(str, arguments))
    return end.value.code


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 7 classes of 12 grey pictures, each class of its own brightness."""
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for label in range(7):
        (root / f"tone {label}").mkdir()
        for i in range(12):
            pixels = 30 * label + rng.integers(0, 60, (16, 16))
            Image.fromarray(pixels.astype(np.uint8)).save(root / f"tone {label}" / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a model that was trained on them, with the splits of seed 3."""
    folder, spec = tmp_path_factory.mktemp("run"), DataSpec(str(photos), seed=3)
    images = load(spec)
    task = Task(7, images.shape)
    list(train(network := build(ARCH, task), images, RECIPE))
    model = Model(ARCH, task, network, images.classes, images.mean, images.std, images)
    beside = {FILE: to_json(of_training(spec, images, RECIPE))}
    save(model, folder / "models" / ARCH.digest, ["onnx", "torchscript"], beside=beside)
    config = {"data": str(photos), "seed": 3}
    (folder / "run.json").write_text(json.dumps({"schema": 1, "config": config}))
    keep_metrics(
        folder / "models", ARCH.digest, {"test_accuracy": evaluate(network, images.test, images)}
    )
    return folder


def model_of(run: Path) -> Path:
    return run / "models" / ARCH.digest


def test_every_file_is_tested_on_the_splits_of_its_training(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = json.loads((model_of(run) / "metrics.json").read_text())["test_accuracy"]
    for source, more in ((run, []), (model_of(run), ["--data", photos])):
        assert call("eval", source, "--json", *more) == 0
        rows = json.loads(capsys.readouterr().out)
        assert [row["format"] for row in rows] == ["onnx", "safetensors"]
        for row in rows:
            assert row["top1"] == known
            assert row["top1_low"] < known < row["top1_high"]
            assert row["top1"] <= row["top5"] <= 1
            assert row["images"] == 14
            assert 0 < row["latency_low_ms"] <= row["latency_ms"] <= row["latency_high_ms"]


def test_top_5_and_confusion_are_the_obvious_ones(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = model_of(run) / "model.onnx", tmp_path / "confusion"
    assert call("eval", file, "--split", "val", "--out", out, "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    images = load(DataSpec(str(photos), seed=3))
    from nas.exporter import read

    scores = predict_logits(read(model_of(run)).network, images.val, images)
    best = scores.argsort(1, descending=True)
    pairs = list(zip(best.tolist(), images.val.labels.tolist(), strict=True))
    assert row["top5"] == sum(label in order[:5] for order, label in pairs) / len(pairs)
    with (out / "confusion-onnx.csv").open() as lines:
        table = list(csv.reader(lines))
    assert table[0][1:] == list(images.classes)
    for label, cells in enumerate(table[1:]):
        for said, cell in enumerate(cells[1:]):
            assert int(cell) == sum(o[0] == said and shown == label for o, shown in pairs)
    ElementTree.parse(out / "confusion-onnx.svg")


def test_of_equal_scores_the_first_counts() -> None:
    scores = torch.tensor([[1.0, 3.0, 3.0], [2.0, 0.0, 2.0]]).repeat(20, 1)
    split = Split(torch.zeros(40, 1, 2, 2, dtype=torch.uint8), torch.tensor([2, 0]).repeat(20))
    hits, predicted = _predictions(lambda images: scores[: len(images)], split)
    assert predicted.tolist() == [1, 0] * 20
    assert hits[:2].tolist() == [[False, True, False], [True, False, False]]


def test_all_images_may_be_tested(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "some").mkdir()
    for folder in photos.iterdir():
        shutil.copytree(folder, tmp_path / "some" / folder.name)
        (tmp_path / "some" / folder.name / "0.png").unlink()
    more = ["--format", "onnx", "--data", tmp_path / "some", "--split", "all", "--json"]
    assert call("eval", run, *more) == 0
    done = capsys.readouterr()
    (row,) = json.loads(done.out)
    assert (row["images"], row["split"]) == (77, "all")
    assert "it may have seen some of those tested" in done.err


def test_a_file_that_came_later_is_not_opened(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(model_of(run), tmp_path / "model")
    (folder / "network.py").write_text("raise SystemExit")
    assert call("eval", folder, "--format", "python") == 2
    assert "network.py: is not in checksums.json" in capsys.readouterr().err


def test_a_file_from_elsewhere_needs_no_folder(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = shutil.copy(model_of(run) / "model.onnx", tmp_path / "theirs.onnx")
    assert call("eval", file, "--data", photos, "--seed", 3) == 0
    assert "theirs.onnx" in capsys.readouterr().out


def test_a_format_that_runs_code_is_named_and_warned_of(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("eval", run, "--format", "torchscript") == 0
    done = capsys.readouterr()
    assert "model.torchscript.pt runs code that stands in it, so trust it first" in done.err
    assert "model.torchscript.pt" in done.out


def test_a_damaged_graph_of_pytorch_is_one_line_beside_the_warning(
    photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "theirs.pt2").write_bytes(b"no archive at all")
    command = [sys.executable, "-m", "nas", "eval", str(tmp_path / "theirs.pt2")]
    command += ["--format", "pt2", "--data", str(photos)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith("warning: opening ")
    assert done.stderr.count("\n") == 2, done.stderr


@pytest.mark.parametrize(
    ("source", "more", "message"),
    [
        (
            "{run}",
            ["--data", "bundled"],
            "takes images of 1x16x16, but .* of 1x28x28; --image-size",
        ),
        (
            "{run}",
            ["--data", "bundled", "--image-size", 16],
            "tells 7 classes apart, but bundled has 10",
        ),
        ("{run}", ["--data", "{tmp}/renamed"], "label 3 is 'tone 3', not 'tone 3b'"),
        ("{tmp}/theirs.onnx", [], "name the images to test it on by --data"),
        ("{tmp}/theirs.onnx", ["--data", "bundled"], "does not take images of 1x28x28"),
        ("{tmp}/theirs.onnx", ["--data", "{toy}"], "gives scores of 1x7, but .* has 3 classes"),
        ("{tmp}/broken.onnx", ["--data", "bundled"], "broken.onnx"),
        ("{tmp}/renamed/tone 1/1.png", ["--data", "bundled"], "its name tells no format"),
        (
            "{tmp}/nothing.onnx",
            ["--data", "bundled"],
            "is neither a file nor the folder of a model",
        ),
        ("{run}", ["--format", "pt2"], "has no model.pt2; it has: onnx, safetensors, torchscript"),
        ("{run}", ["--format", "onyx"], "unknown format 'onyx'; did you mean 'onnx'"),
        ("{run}", ["--split", "dev"], "`split` .* must be one of: train, val, test"),
    ],
)
def test_bad_input_is_one_line(
    run: Path, photos: Path, toy: Path, tmp_path: Path, source: str, more: list[object],
    message: str, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    onnx = (model_of(run) / "model.onnx").read_bytes()
    (tmp_path / "theirs.onnx").write_bytes(onnx)
    (tmp_path / "broken.onnx").write_bytes(onnx[:-200])
    shutil.copytree(photos, tmp_path / "renamed")
    (tmp_path / "renamed" / "tone 3").rename(tmp_path / "renamed" / "tone 3b")
    paths = {"run": run, "tmp": tmp_path, "toy": toy / "images.npz"}
    filled = [str(word).format(**paths) for word in (source, *more)]
    assert call("eval", *filled, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(error)
    assert not (tmp_path / "out").exists()


def test_a_tampered_file_is_not_opened(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(model_of(run), tmp_path / "model")
    file = folder / "model.torchscript.pt"
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    assert call("eval", file, "--format", "torchscript") == 2
    error = capsys.readouterr().err
    assert "model.torchscript.pt: is not the file that was written" in error
    assert error.count("\n") == 1  # no warning either: it never came to that


def test_the_picture_has_a_cell_for_what_was_said() -> None:
    counts = confusion(torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 2]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    text = picture(counts, ("a", "b < c", "d"))
    root = ElementTree.fromstring(text)
    titles = [node.text for node in root.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["a taken for a: 1 (50%)", "a taken for b < c: 1 (50%)",
                      "b < c taken for b < c: 1 (100%)", "d taken for d: 1 (100%)"]  # fmt: skip
    many = picture(torch.eye(1000).long(), [f"class {i}" for i in range(1000)])
    assert "class 999 taken for class 999" in many
    assert many.count("<text") == 2  # names would not be legible
