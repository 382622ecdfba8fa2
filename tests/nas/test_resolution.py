"""A space whose architectures have their own resolution, from the search to the finished model."""

import json
from types import SimpleNamespace

import onnx
import pandas as pd
import pytest
import torch

import nas
from evaluators.data import DataSpec, load
from evaluators.predict import evaluate
from nas.cli import main
from nas.exporter import ExportError, read
from nas.progress import Progress
from nas.reading import read_arch
from search_spaces.arch import Arch

SIDES = (8, 12, 20)  # the images have 16 pixels


@pytest.fixture(scope="module")
def sized(toy):
    plain = json.loads((toy / "space.json").read_text()) | {"name": "sized", "resolution": SIDES}
    (toy / "sized.json").write_text(json.dumps(plain))
    return toy / "sized.json"


@pytest.fixture(scope="module")
def config(toy, sized):
    return nas.SearchConfig(
        data=str(toy / "images.npz"),
        space=str(sized),
        trials=8,
        timeout=None,
        epochs=2,
        finalists=3,
        final_epochs=2,
        workers=2,
        deterministic=True,
        warm_start=None,
    )


@pytest.fixture(scope="module")
def result(config, tmp_path_factory):
    return nas.search(config, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def model(result):
    """Return the folder of the smallest resolution among the finalists."""
    folders = [path.parent for path in result.directory.glob("models/*/task.json")]
    return min(folders, key=lambda folder: read_arch(str(folder)).resolution)


@pytest.fixture
def call(capsys):
    def command(*arguments):
        with pytest.raises(SystemExit) as end:
            main(map(str, arguments))
        return SimpleNamespace(code=end.value.code, **capsys.readouterr()._asdict())

    return command


class TestSearch:
    def test_candidates_have_all_of_them(self, result):
        archs = [Arch.from_text(text) for text in result.trials["arch"]]
        assert {arch.resolution for arch in archs} == set(SIDES)
        for table in ("trials", "pareto"):
            rows = pd.read_csv(result.directory / f"{table}.csv")
            own = [Arch.from_text(text).resolution for text in rows["arch"]]
            assert rows["resolution"].tolist() == own
        assert set(result.trials["state"]) <= {"complete", "paused"}
        assert (result.directory / "report.html").stat().st_size > 10_000

    def test_its_task_is_at_the_highest(self, result):
        task = json.loads((result.directory / "run.json").read_text())["task"]
        assert task["shape"] == [1, 20, 20]

    @pytest.mark.slow
    def test_it_goes_on_as_if_it_had_not_stopped(self, config, result, tmp_path):
        class Stops(Progress):
            ends = 0

            def ended(self, name, outcome, metrics, reason):
                self.ends += 1
                if self.ends == 5:
                    raise KeyboardInterrupt

        assert nas.search(config, tmp_path / "run", Stops()).status == "interrupted"
        assert nas.resume(tmp_path / "run").status == "complete"
        tables = [pd.read_csv(run / "trials.csv") for run in (result.directory, tmp_path / "run")]
        pd.testing.assert_frame_equal(*tables)

    @pytest.mark.parametrize("size", [16, 12])
    def test_another_size_is_refused(self, call, toy, sized, size, tmp_path):
        options = "--image-size", size, "--out", tmp_path / "run"
        done = call("search", "--data", toy / "images.npz", "--space", sized, *options)
        assert done.code == 2
        assert f"images of {size} pixels (--image-size) were asked for, but the arch" in done.err
        assert not (tmp_path / "run").exists()


class TestModel:
    def test_every_file_takes_images_of_its_resolution(self, model):
        side = read_arch(str(model)).resolution
        assert json.loads((model / "task.json").read_text())["shape"] == [1, side, side]
        graph = onnx.load(model / "model.onnx").graph
        sizes = [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim]
        assert sizes[1:] == [1, side, side]
        assert f"1x{side}x{side}" in (model / "README.md").read_text().replace(", ", "x")
        assert nas.load(model)(torch.zeros(2, 1, side, side)).shape == (2, 3)

    def test_its_accuracy_is_that_on_images_of_this_size(self, model, toy):
        side = read_arch(str(model)).resolution
        images = load(DataSpec(str(toy / "images.npz"), image_size=side))
        found = json.loads((model / "metrics.json").read_text())["test_accuracy"]
        assert evaluate(read(model).network, images.test, images) == pytest.approx(found)

    def test_eval_shows_and_verifies_it_without_being_told(self, call, model, result):
        rows = json.loads(call("eval", model, "--json").out)
        found = json.loads((model / "metrics.json").read_text())["test_accuracy"]
        assert {row["format"] for row in rows} >= {"onnx", "safetensors"}
        assert [row["top1"] for row in rows] == pytest.approx([found] * len(rows))
        side = read_arch(str(model)).resolution
        about = json.loads(call("show", model, "--json").out)
        assert about["input"] == [1, side, side]
        assert about["macs"] == read(model).arch.cost(read(model).task).macs
        assert call("verify", model).code == 0

    def test_other_formats_follow(self, call, model, tmp_path):
        done = call("export", model, "--format", "onnx-int8,python", "--out", tmp_path / "out")
        assert done.code == 0, done.err
        assert read(tmp_path / "out").task == read(model).task

    def test_a_folder_of_another_size_is_refused(self, model, tmp_path):
        for path in model.iterdir():
            if path.name != "checksums.json" and path.is_file():
                (tmp_path / path.name).write_bytes(path.read_bytes())
        about = json.loads((tmp_path / "task.json").read_text()) | {"shape": [1, 16, 16]}
        (tmp_path / "task.json").write_text(json.dumps(about))
        with pytest.raises(ExportError, match=r"for images of \d+ pixels a side, not for 1x16x16"):
            read(tmp_path)


class TestCommands:
    ARCH = "image(resolution=12) | stem(width=8,stride=2) | stage(width=8,stride=2): mbconv | head"

    def test_train(self, call, toy, tmp_path):
        data = "--data", toy / "images.npz", "--epochs", 2, "--out", tmp_path / "model"
        assert call("train", self.ARCH, *data).code == 0
        assert read(tmp_path / "model").task.shape == (1, 12, 12)
        known = json.loads((tmp_path / "model" / "provenance.json").read_text())
        assert known["data"]["image_size"] == 12
        row = json.loads(call("eval", tmp_path / "model", *data[:2], "--json").out)[0]
        found = json.loads((tmp_path / "model" / "metrics.json").read_text())
        assert row["top1"] == pytest.approx(found["test_accuracy"])
        done = call("train", self.ARCH, *data[:5], tmp_path / "other", "--image-size", 16)
        assert done.code == 2
        assert "the architecture's `resolution` is 12: leave the size out" in done.err

    def test_export_of_fresh_weights(self, call, toy, tmp_path):
        for data in ([], ["--data", toy / "images.npz"]):
            out = tmp_path / str(len(data))
            assert call("export", self.ARCH, "--out", out, *data).code == 0
            assert read(out).task.shape[1:] == (12, 12)

    @pytest.mark.parametrize("command", ["show", "measure", "export"])
    def test_an_input_of_another_size_is_refused(self, call, command, tmp_path):
        more = ["--out", tmp_path / "out"] if command == "export" else []
        done = call(command, self.ARCH, "--input", "1x16x16", *more)
        assert done.code == 2
        assert "must be at the architecture's resolution: 1x12x12, or left out" in done.err
