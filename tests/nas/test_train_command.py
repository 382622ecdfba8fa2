"""`nas train` as a user meets it."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

import nas
from evaluators.device import device
from nas.agreement import noisy
from nas.cli import main
from nas.exporter import read
from nas.tensorboard_logs import has_tensorboard
from search_spaces.arch import Arch

ARCH = "stem(width=8,stride=2) | stage(width=8,stride=2): mbconv(expand=1) | head"


def call(*arguments: object) -> int | str | None:
    with pytest.raises(SystemExit) as end:
        main(map(str, arguments))
    return end.value.code


def command(toy: Path, out: Path, *more: object) -> list[object]:
    return ["train", ARCH, "--data", toy / "images.npz", "--out", out, "--batch", 32, *more]


@pytest.fixture(scope="module")
def trained(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model that was trained without a break."""
    out = tmp_path_factory.mktemp("trained") / "model"
    assert call(*command(toy, out, "--epochs", 4, "--format", "safetensors,onnx")) == 0
    return out


def history(out: Path) -> list[dict[str, str]]:
    with (out / "history.csv").open() as file:
        return list(csv.DictReader(file))


def test_it_leaves_a_models_folder(trained: Path, tmp_path: Path) -> None:
    assert call("verify", trained) == 0
    assert nas.load(trained)(torch.rand(2, 1, 16, 16)).shape == (2, 3)
    assert call("export", trained, "--format", "python", "--out", tmp_path / "more") == 0
    known = json.loads((trained / "provenance.json").read_text())
    assert known["digest"] == Arch.from_text(ARCH).digest
    assert known["recipe"]["epochs"] == 4
    assert known["data"]["train"] == 192
    assert not (trained / ".training").exists()


def test_its_metrics_are_those_of_its_files(trained: Path) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["test_accuracy_low"] < metrics["test_accuracy"] < metrics["test_accuracy_high"]
    assert metrics["test_accuracy"] > 0.6  # a third by chance
    assert metrics["test_images"] == 48
    assert "history.svg" in (trained / "README.md").read_text()


def test_its_card_tells_the_latency_of_each_file(trained: Path) -> None:
    text = (trained / "README.md").read_text().partition("## Latency\n")[2].partition("\n## ")[0]
    figures = json.loads((trained / "metrics.json").read_text())["formats"]
    assert figures.keys() == {"safetensors", "onnx"}
    for name, found in figures.items():
        ends = (found[f"latency{end}_ms"] for end in ("", "_low", "_high"))
        mark = " !" if noisy(found) else ""
        assert f"| {name}{mark} | {' | '.join(f'{ms:.3g}' for ms in ends)} | " in text
        assert found["device"] == device()


def test_the_history_has_a_line_an_epoch(trained: Path) -> None:
    rows = history(trained)
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert float(rows[-1]["lr"]) < 0.01 < float(rows[0]["lr"])
    for row in rows:
        assert 0 <= float(row["train_accuracy"]) <= 1
        assert 0 <= float(row["val_accuracy"]) <= 1
        assert float(row["images_per_s"]) > 0
    ElementTree.parse(trained / "history.svg")


@pytest.mark.skipif(not has_tensorboard(), reason="needs tensorboard")
def test_tensorboard_reads_its_logs(trained: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logs = EventAccumulator(str(trained / "tensorboard"))
    logs.Reload()
    steps = [event.step for event in logs.Scalars("accuracy/val")]
    assert steps == [1, 2, 3, 4]


@pytest.mark.skipif(has_tensorboard(), reason="is for where tensorboard is not installed")
def test_logs_without_tensorboard_name_the_extra(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert call(*command(toy, out, "--tensorboard", tmp_path / "logs")) == 2
    assert "pip install 'nas-compact[tensorboard]'" in capsys.readouterr().err
    assert not out.exists()


def test_what_is_interrupted_goes_on_as_if_nothing_had_happened(
    toy: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    from nas.history import History

    plus = History.plus

    def interrupt(self: History, result: object) -> History:
        if len(self.results) == 1:
            raise KeyboardInterrupt
        return plus(self, result)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(History, "plus", interrupt)
        assert call(*command(toy, out, "--epochs", 4)) == 130
    assert not (out / "weights.safetensors").exists()
    assert call(*command(toy, out, "--epochs", 4, "--resume")) == 0
    assert_same(out, trained)


def assert_same(out: Path, trained: Path) -> None:
    for name in ("weights.safetensors", "task.json"):
        assert (out / name).read_bytes() == (trained / name).read_bytes(), name
    here, there = (json.loads((folder / "metrics.json").read_text()) for folder in (out, trained))
    assert here.pop("formats").keys() == there.pop("formats").keys()  # they hold times
    assert here == there
    clock = ("images_per_s", "seconds")
    rows = [[(k, v) for k, v in row.items() if k not in clock] for row in history(out)]
    assert rows == [[(k, v) for k, v in row.items() if k not in clock] for row in history(trained)]


@pytest.mark.slow
def test_a_kill_costs_an_epoch_and_nothing_else(toy: Path, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    line = [sys.executable, "-m", "nas", *map(str, command(toy, out, "--epochs", 4))]
    process = subprocess.Popen(line, env=os.environ | {"OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not (out / "history.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(history(out)) < 4, "too late to be of use"
    assert call(*command(toy, out, "--epochs", 4, "--resume")) == 0
    assert_same(out, trained)


def test_a_finished_training_is_not_begun_anew(
    toy: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained / "checksums.json").read_bytes()
    again = command(toy, trained, "--epochs", 4)
    assert call(*again) == 2
    assert "holds a training; go on with --resume, or choose another" in capsys.readouterr().err
    assert call(*again, "--resume", "--json") == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 4
    assert (trained / "checksums.json").read_bytes() == before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--epochs", 5, "--resume"], "`recipe.epochs` is 4 there, not 5"),
        (["--epochs", 4, "--seed", 1, "--resume"], "seed` is 0 there, not 1"),
    ],
)
def test_another_training_is_not_overwritten(
    toy: Path, trained: Path, more: list[object], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (trained / "weights.safetensors").read_bytes()
    assert call(*command(toy, trained, *more)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert (trained / "weights.safetensors").read_bytes() == before


def test_a_student_follows_a_teacher(toy: Path, trained: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert call(*command(toy, out, "--epochs", 1, "--teacher", trained, "--temperature", 3)) == 0
    known = json.loads((out / "provenance.json").read_text())
    assert known["recipe"]["distill"] == 0.5
    assert known["teacher"]["digest"] == read(trained).arch.digest


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--teacher", "{trained}/nothing"], "cannot read"),
        (["--distill", 0.5], "a teacher go together: name a teacher"),
        (["--recipe", "imagnet"], "is neither a recipe .default, imagenet. nor a file"),
        (["--recipe", "{tmp}/missing.yaml"], "recipe file .* does not exist"),
        (["--recipe", "{tmp}/odd.yaml"], "unknown key 'epoch'; did you mean 'epochs'"),
        (["--lr", -1], "`lr` .* must be finite, above 0"),
        (["--mixup", -1], "`mixup` .* must be finite, 0 or more"),
        (["--format", "onnxx"], "unknown format 'onnxx'; did you mean 'onnx'"),
        (["--data", "bundled", "--teacher", "{trained}"], "a teacher must know the classes"),
    ],
)
def test_bad_input_is_one_line(
    toy: Path, trained: Path, tmp_path: Path, more: list[object], message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "odd.yaml").write_text("epoch: 3\n")
    out = tmp_path / "out"
    filled = [str(word).format(trained=trained, tmp=tmp_path) for word in more]
    assert call(*command(toy, out, *filled)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(error)
    assert not out.exists()


def test_a_folder_of_something_else_is_refused(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    for more in ([], ["--resume"]):
        assert call(*command(toy, tmp_path, *more)) == 2
        assert "holds something else; choose another --out" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_full_disk_is_one_line_and_the_training_can_begin_anew(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, out = Path.write_bytes, tmp_path / "out"

    def full(path: Path, content: bytes) -> int:
        if path.name.endswith(".part"):
            raise OSError(28, "No space left on device")
        return usual(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        assert call(*command(toy, out)) == 2
    begun, error = capsys.readouterr().err.splitlines()
    assert begun.startswith("training |")
    assert "No space left on device" in error
    assert call(*command(toy, out)) == 0


def test_an_exported_model_is_no_training(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("export", "stem(width=8) | head", "--format", "onnx", "--out", tmp_path) == 0
    for more in ([], ["--resume"]):
        assert call(*command(toy, tmp_path, *more)) == 2
        assert "holds something else; choose another --out" in capsys.readouterr().err
