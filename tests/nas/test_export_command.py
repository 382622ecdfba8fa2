"""`nas export` and `nas verify` as a user meets them."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
import torch

import nas
from nas.checksums import FILE, read, seal, text
from nas.cli import main
from nas.exporter import ExportError, Model, save
from nas.exporter import read as read_model
from nas.exporting import find_model
from nas.finalists import keep_metrics
from nas.sealing import seal_run
from search_spaces.arch import Arch, Task
from search_spaces.network import build

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ARCH = Arch.from_text("stem(width=8) | stage(width=16,stride=2): csc | head")
TASK = Task(3, (1, 28, 28))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run folder with one model."""
    run = tmp_path_factory.mktemp("run")
    (run / "run.json").write_text('{"schema": 1}')
    model = Model(ARCH, TASK, build(ARCH, TASK, seed=1).eval(), ("a", "b", "c"), (0.3,), (0.2,))
    save(model, run / "models" / ARCH.digest)
    keep_metrics(run / "models", ARCH.digest, {"accuracy": 0.5})
    return run


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "run")


def call(*arguments: object) -> int | str | None:
    with pytest.raises(SystemExit) as end:
        main(map(str, arguments))
    return end.value.code


def model_of(run: Path) -> Path:
    return run / "models" / ARCH.digest


@pytest.mark.parametrize("source", ["{run}", "{run}:{digest}", "{run}/models/{digest}"])
def test_a_runs_model_is_exported(
    run: Path, tmp_path: Path, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    named, out = source.format(run=run, digest=ARCH.digest), tmp_path / "out"
    assert call("export", named, "--format", "onnx,python", "--out", out, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["format"] for row in rows] == ["safetensors", "onnx", "python"]
    for row in rows:
        assert row["max_abs_error"] <= row["limit"]
        assert row["latency_low_ms"] <= row["latency_ms"] <= row["latency_high_ms"]
    image = torch.rand(2, *TASK.shape)
    assert torch.equal(nas.load(out)(image), nas.load(model_of(run))(image))
    assert json.loads((out / "metrics.json").read_text())["accuracy"] == 0.5
    assert call("verify", out) == 0


def test_an_architecture_gets_fresh_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--input", "3x32x24", "--classes", 4, "--out", tmp_path / "out")
    assert call("export", str(ARCH), *options) == 0
    assert "model.onnx" in capsys.readouterr().out
    assert nas.load(tmp_path / "out")(torch.rand(1, 3, 32, 24)).shape == (1, 4)
    assert "\n## Latency\n" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("source", "formats", "message"),
    [
        ("{run}:beef", "onnx", "names 0 models of the run; name one, as .*:DIGEST, one of"),
        ("{run}", "onxx", "unknown format 'onxx'; did you mean 'onnx'"),
        ("{run}", ",", "`--format` names no format; known: "),
        ("{run}/nothing", "onnx", "neither an architecture in one line nor a readable file"),
    ],
)
def test_bad_input_is_one_line(
    run: Path, tmp_path: Path, source: str, formats: str, message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "out"
    assert call("export", source.format(run=run), "--format", formats, "--out", out) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(error)
    assert not out.exists()


def test_a_run_without_models_says_how_to_get_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text("{}")
    assert call("export", run, "--out", tmp_path / "out") == 2
    error = f"error: {run}: a run without models yet; go on with: nas resume {run}\n"
    assert capsys.readouterr().err == error


def test_a_file_is_no_folder_to_export_to(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("mine")
    assert call("export", run, "--out", tmp_path / "out") == 2
    error = (
        f"error: `--out` (={tmp_path / 'out'}) is a file: name a folder, new or of the same model"
    )
    assert capsys.readouterr().err.strip() == error
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("sealed", [True, False])
def test_a_run_is_no_folder_to_export_to(
    run: Path, sealed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    if sealed:
        seal_run(run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert call("export", run, "--out", run) == 2
    error = f"error: {run} holds something else than a model; choose another --out\n"
    assert capsys.readouterr().err == error
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    with pytest.raises(ExportError, match="holds something else than a model"):
        save(read_model(model_of(run)), run)


def test_a_folder_of_something_else_is_left_alone(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("mine")
    assert call("export", run, "--out", tmp_path / "mine") == 2
    assert "holds something else than a model; choose another --out" in capsys.readouterr().err
    assert (tmp_path / "mine" / "README.md").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert call("export", run, "--format", "safetensors", "--out", tmp_path / "empty") == 0


def test_a_whole_run_is_verified(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("verify", run) == 0
    assert capsys.readouterr().out == "1 model as written\n"


@pytest.mark.parametrize("name", ["weights.safetensors", "model.onnx", "task.json", "metrics.json"])
def test_a_flipped_byte_is_found(run: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = model_of(run) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert call("verify", run) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line == f"{path}: is not the file that was written: its SHA-256 differs from {FILE}"


def test_weights_with_a_flipped_byte_are_not_loaded(run: Path) -> None:
    path = model_of(run) / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ExportError, match=r"weights\.safetensors: is not the file"):
        nas.load(model_of(run))


def other_arch(directory: Path) -> None:
    """Put another architecture there, with the right checksum."""
    other = Arch.from_text("stem(width=16) | head")
    task = json.loads((directory / "task.json").read_text()) | {"digest": other.digest}
    (directory / "arch.json").write_text(other.to_json())
    (directory / "task.json").write_text(json.dumps(task))
    seal(directory, ["arch.json", "task.json"])


def leave_out(directory: Path) -> None:
    known = read(directory)
    del known["model.onnx"]
    (directory / FILE).write_text(text(known))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "model.onnx").unlink(), "model.onnx: is missing"),
        (lambda d: (d / FILE).unlink(), "checksums.json: No such file"),
        (lambda d: (d / FILE).write_text('{"../x": "1"}'), "checksums.json is damaged"),
        (lambda d: (d / FILE).write_text("{"), "checksums.json is damaged"),
        (leave_out, "model.onnx: is not in checksums.json"),
        (other_arch, "holds the weights of architecture"),
    ],
)
def test_other_damage_is_one_line(
    run: Path,
    damage: Callable[[Path], None],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(model_of(run))
    assert call("verify", model_of(run)) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert message in line


def test_what_is_no_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("verify", tmp_path) == 2
    assert "is neither the folder of a model nor of a run" in capsys.readouterr().err


@pytest.mark.parametrize(("classes", "seed"), [(2, 1), (3, 2)])  # other classes, other weights
def test_another_models_files_stay(run: Path, classes: int, seed: int) -> None:
    folder, task = model_of(run), Task(classes, TASK.shape)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    network = build(ARCH, task, seed=seed).eval()
    other = Model(ARCH, task, network, ("a", "b", "c")[:classes], (0.3,), (0.2,))
    with pytest.raises(ExportError, match=r"holds another model .* choose another --out"):
        save(other, folder, ["safetensors"])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("spoil", "more", "message"),
    [
        (lambda folder: (folder / "task.json").unlink(), [], "task.json: is missing"),
        (
            lambda folder: (folder / "metrics.json").write_text('{"accuracy": 0.9}'),
            [],
            "metrics.json: is not the file that was written",
        ),
        (lambda folder: (folder / "arch.json").write_bytes(b"\x80\x02"), [], "arch.json: is not"),
        (lambda _: None, ["--classes", 9], "has its own: leave out `--input` and `--classes`"),
        (lambda _: None, ["--input", "1x64x64"], "has its own: leave out"),
    ],
)
def test_a_models_folder_is_taken_whole_or_not_at_all(
    run: Path, tmp_path: Path, spoil: Callable[[Path], object], more: list[object], message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    spoil(model_of(run))
    assert call("export", model_of(run), "--format", "onnx", "--out", tmp_path / "out", *more) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_further_formats_of_the_same_model_join(run: Path) -> None:
    assert call("export", run, "--format", "python", "--out", model_of(run)) == 0
    assert {"model.onnx", "network.py", "metrics.json"} <= read(model_of(run)).keys()
    assert call("verify", run) == 0


def test_one_line_of_text_may_be_longer_than_a_file_name():
    stages = "stage(width=8,stride=2): mbconv | " * 20
    assert find_model(f"stem(width=8) | {stages}head") is None
