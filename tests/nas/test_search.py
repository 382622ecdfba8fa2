"""The main job from end to end, on a toy set: real training, real measuring, real files."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import onnxruntime
import pandas as pd
import pytest

import nas
from evaluators.evaluator import Report
from nas.exporter import read
from nas.progress import Progress
from nas.storage import StudyError
from search_spaces.arch import Arch
from search_spaces.errors import BudgetError, CandidateError, NasError, UnknownName


@pytest.fixture(scope="module")
def config(toy):
    return nas.SearchConfig(
        data=str(toy / "images.npz"),
        space=str(toy / "space.json"),
        sampler="random",
        budget_params=1500,
        trials=4,
        timeout=None,
        epochs=2,
        finalists=2,
        final_epochs=2,
        workers=1,
    )


@pytest.fixture(scope="module")
def result(config, tmp_path_factory):
    return nas.search(config, tmp_path_factory.mktemp("runs") / "run")


class TestRunFolder:
    def test_holds_what_the_result_says(self, result):
        read = pd.read_csv(result.directory / "pareto.csv")
        assert read["digest"].tolist() == result.pareto["digest"].tolist()
        assert len(pd.read_csv(result.directory / "trials.csv")) == len(result.trials) == 4
        about = json.loads((result.directory / "run.json").read_text())
        assert about["status"] == result.status == "complete"
        assert about["config"]["budget_params"] == 1500
        workers = about["spent"]["workers"]
        assert sum(workers.values()) == pytest.approx(sum(about["seconds"].values()))  # of one
        assert {"starting", "building", "training", "exporting", "idle"} <= workers.keys()
        assert about["spent"]["beside"].keys() == {"sampling", "measuring", "recording"}
        assert "Where the time went" in (result.directory / "report.html").read_text()
        assert (result.directory / "report.html").stat().st_size > 0
        assert not list(result.directory.rglob(".*"))  # no draft is left

    def test_front_is_within_the_budget_and_tested(self, result):
        front = result.pareto
        assert front["params"].max() <= 1500
        assert (
            front["test_accuracy"]
            .between(front["test_accuracy_low"], front["test_accuracy_high"])
            .all()
        )
        assert (front["latency_low_ms"] <= front["latency_ms"]).all()
        assert front["recommended"].sum() == 1
        assert result.recommended in set(front["digest"])

    def test_models_run_in_onnxruntime_alone(self, result, toy):
        images = np.load(toy / "images.npz")["x_test"][:, None].astype(np.float32) / 255
        labels = np.load(toy / "images.npz")["y_test"]
        for row in result.pareto.to_dict("records"):
            folder = result.directory / "models" / row["digest"]
            session = onnxruntime.InferenceSession(folder / "model.onnx")
            scores = session.run(None, {session.get_inputs()[0].name: images})[0]
            assert np.mean(scores.argmax(1) == labels) == pytest.approx(row["test_accuracy"])
            assert read(folder).arch.digest == row["digest"]

    def test_trials_are_all_different(self, result):
        assert result.trials["digest"].is_unique
        assert set(result.trials["state"]) <= {"complete", "paused"}
        for text, digest in zip(result.trials["arch"], result.trials["digest"], strict=True):
            assert Arch.from_text(text).digest == digest


def test_same_seed_same_trials_and_accuracies(config, result, tmp_path):
    again = nas.search(config, tmp_path / "again")
    columns = ["digest", "params", "macs"]
    assert again.trials[columns].equals(result.trials[columns])
    both = again.trials["epochs"] == result.trials["epochs"]  # halving also looks at the latency
    assert both.any()
    assert again.trials["accuracy"][both].equals(result.trials["accuracy"][both])


def test_a_slow_candidate_is_infeasible_and_not_trained(config, tmp_path):
    result = nas.search(replace(config, budget_latency=1e-6, trials=2), tmp_path / "run")
    assert set(result.trials["state"]) == {"infeasible"}
    assert result.trials["accuracy"].isna().all()
    assert result.trials["reason"].str.contains("is over 1e-06 ms").all()
    assert result.pareto.empty
    assert result.recommended is None


def test_a_candidate_that_fails_is_recorded_and_the_search_goes_on(config, tmp_path, monkeypatch):
    calls = []

    def measure(self, arch, task):
        calls.append(arch.digest)
        if len(calls) == 2:
            raise CandidateError("the runtime refuses the network")
        yield Report(1, dict.fromkeys(("latency_ms", "latency_low_ms", "latency_high_ms"), 1.0))

    monkeypatch.setattr("evaluators.isolated.Isolated.__call__", measure)
    result = nas.search(config, tmp_path / "run")
    assert result.status == "complete"
    assert result.trials["state"][1] == "failed"
    assert result.trials["reason"][1] == "the runtime refuses the network"
    assert set(result.trials["state"][[0, 2, 3]]) <= {"complete", "paused"}


BRITTLE = """
import os
from contextlib import contextmanager
from dataclasses import dataclass

from evaluators.target import TARGETS
from evaluators.targets.cpu import Cpu


@TARGETS.register("brittle")
@dataclass(frozen=True)
class Brittle(Cpu):
    @contextmanager
    def load(self, model, example):
        if example.shape[1] == 1:  # no colours: a candidate, not the reference
            os.abort()
        with super().load(model, example) as timer:
            yield timer
"""


def test_a_runtime_that_crashes_costs_a_candidate_and_not_the_search(config, tmp_path):
    plugin = tmp_path / "brittle.py"
    plugin.write_text(BRITTLE)
    brittle = replace(config, plugin=str(plugin), target="brittle", trials=2)
    result = nas.search(brittle, tmp_path / "run")
    assert result.status == "complete"
    assert set(result.trials["state"]) == {"failed"}
    for digest, reason in zip(result.trials["digest"], result.trials["reason"], strict=True):
        assert reason.startswith(f"{digest}: ")
        assert "brittle" in reason
        assert reason.endswith("the process died (signal SIGABRT)")


class _StopAfter(Progress):
    """Ctrl-C when so many candidates have ended."""

    def __init__(self, count):
        self.count = count
        self.labels = set()  # a candidate is told of at each rung

    def ended(self, label, outcome, metrics, reason):
        self.labels.add(label)
        if len(self.labels) == self.count:
            raise KeyboardInterrupt


def test_an_interrupted_run_keeps_what_it_found_and_goes_on(config, tmp_path):
    stopped = nas.search(config, tmp_path / "run", _StopAfter(2))
    assert stopped.status == "interrupted"
    assert len(stopped.trials) == 2
    assert not stopped.pareto.empty
    assert stopped.pareto["test_accuracy"].isna().all()
    resumed = nas.resume(tmp_path / "run")
    assert resumed.status == "complete"
    assert len(resumed.trials) == 4
    before, after = stopped.account.workers, resumed.account.workers
    assert all(after[kind] >= before[kind] > 0 for kind in ("building", "training"))
    assert resumed.trials["digest"].tolist()[:2] == stopped.trials["digest"].tolist()
    assert resumed.pareto["test_accuracy"].notna().all()


def test_an_interrupt_among_the_finalists_keeps_the_finished_ones(config, tmp_path):
    stopped = nas.search(config, tmp_path / "run", _StopAfter(5))
    done = list((tmp_path / "run" / "models").glob("*/metrics.json"))
    assert stopped.status == "interrupted"
    assert len(done) == 1
    written = done[0].stat().st_mtime_ns
    assert nas.resume(tmp_path / "run").status == "complete"
    assert done[0].stat().st_mtime_ns == written  # not trained again


def test_a_killed_run_goes_on(config, tmp_path):
    code = (
        "import sys, pathlib, nas\n"
        "if __name__ == '__main__':\n"
        f"    nas.search(nas.{config!r}, pathlib.Path(sys.argv[1]))\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    run = tmp_path / "run"
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, str(script), str(run)], env=os.environ | paths)
    while not (run / "trials.csv").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert nas.resume(run).status == "complete"
    assert len(pd.read_csv(run / "trials.csv")) == 4


@pytest.mark.parametrize(
    ("scheduler", "fidelity"),
    [("asha", "data"), ("asha", "resolution"), ("hyperband", "epochs"), ("none", "epochs")],
)
def test_candidates_go_from_rung_to_rung(config, tmp_path, scheduler, fidelity):
    options = {"scheduler": scheduler, "fidelity": fidelity, "eta": 2, "trials": 5, "workers": 2}
    result = nas.search(replace(config, **options, epochs=3, finalists=1), tmp_path / "run")
    trials = result.trials
    assert result.status == "complete"
    assert "complete" in set(trials["state"])
    assert set(trials["state"]) == {"complete"} or scheduler != "none"
    assert (trials["epochs"][trials["state"] == "complete"] == 3).all()
    assert (trials["epochs"][trials["state"] == "paused"] < 3).all()
    assert not (tmp_path / "run" / "checkpoints").exists()


def test_a_killed_run_goes_on_with_its_paused_candidates(config, tmp_path):
    config = replace(config, trials=6, epochs=4, finalists=1)
    run, script = tmp_path / "run", tmp_path / "script.py"
    script.write_text(
        "import os, pathlib, signal, sys\n"
        "import nas\n"
        "from nas.progress import Progress\n"
        "class Kill(Progress):\n"
        "    count = 0\n"
        "    def stage(self, label, stage, metrics):\n"
        "        if self.count == 2:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "    def ended(self, label, outcome, metrics, reason):\n"
        "        self.count += outcome == 'paused'\n"
        "if __name__ == '__main__':\n"
        f"    nas.search(nas.{config!r}, pathlib.Path(sys.argv[1]), Kill())\n"
    )
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, str(script), str(run)]
    assert subprocess.run(command, env=os.environ | paths, check=False).returncode == -9
    kept = {file.stem for file in (run / "checkpoints").glob("*.pt")}
    assert len(kept) == 2
    began = {}  # the first epoch that each candidate reports

    class Follow(Progress):
        def stage(self, label, stage, metrics):
            if stage.startswith("epoch"):
                began.setdefault(label, int(stage.split()[1].split("/")[0]))

    result = nas.resume(run, Follow())
    assert result.status == "complete"
    assert len(result.trials) == 6
    trials = result.trials.set_index(result.trials["number"].astype(str))
    assert "complete" in set(trials["state"])
    assert set(trials.loc[[label for label, epoch in began.items() if epoch > 1], "digest"])
    anew = [label for label, epoch in began.items() if epoch == 1 and label in trials.index]
    assert not set(trials.loc[anew, "digest"]) & kept  # they go on from where they stood


def test_a_finalist_that_cannot_be_exported_is_a_failure_and_the_rest_is_reported(
    config, tmp_path, monkeypatch
):
    run = tmp_path / "run"

    class Spoil(Progress):
        """A file lies where the first finalist's folder should be made."""

        def phase(self, name):
            if name == "finalists":
                for digest in pd.read_csv(run / "trials.csv")["digest"]:
                    (run / "models" / digest).write_text("in the way")

    result = nas.search(config, run, Spoil())
    assert result.status == "complete"
    assert (run / "report.html").exists()
    assert result.pareto["test_accuracy"].isna().all()
    assert nas.resume(run).status == "complete"


def test_a_run_goes_on_from_another_directory_with_the_space_it_had(
    config, toy, tmp_path, monkeypatch
):
    monkeypatch.chdir(toy)
    options = {"data": "images.npz", "space": "space.json"}
    stopped = nas.search(replace(config, **options), tmp_path / "run", _StopAfter(1))
    monkeypatch.chdir(tmp_path)
    resumed = nas.resume(stopped.directory)
    assert resumed.status == "complete"
    assert len(resumed.trials) == 4


def test_the_time_limit_holds_among_the_finalists(config, tmp_path):
    limited = replace(config, timeout=6.0, trials=1, finalists=1, final_epochs=2000)
    result = nas.search(limited, tmp_path / "run")
    spent = json.loads((tmp_path / "run" / "run.json").read_text())["seconds"]
    assert result.pareto["epochs"].max() < 2000
    assert result.status == "complete"
    assert spent.keys() == {"search", "finalists"}


def junk_in_a_killed_run(run):
    (run / "checksums.json").unlink()
    (run / "study.db").write_text("junk")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda run: (run / "study.db").unlink(), "study.db is missing"),
        (lambda run: (run / "study.db").write_text("junk"), "study.db: is not the file that was"),
        (junk_in_a_killed_run, "cannot be opened as a study"),
        (lambda run: (run / "run.json").write_text('{"schema": 1}'), "run.json is damaged"),
        (
            lambda run: (run / "run.json").write_text('{"schema": 1, "config": {"trials": "x"}}'),
            "run.json is damaged",
        ),
        (lambda run: (run / "space.json").unlink(), "space.json"),
    ],
)
def test_a_damaged_run_is_refused(result, tmp_path, damage, message):
    run = shutil.copytree(result.directory, tmp_path / "run")
    damage(run)
    with pytest.raises(NasError, match=message):
        nas.resume(run)


class TestRefusals:
    """Each is found before a folder is made."""

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"sampler": "tpee"}, UnknownName, "unknown sampler 'tpee'; did you mean 'tpe'"),
            ({"target": "gpu9"}, UnknownName, "unknown target 'gpu9'"),
            ({"space": "smal"}, UnknownName, "unknown space 'smal'"),
            ({"data": "fashion"}, UnknownName, "fashion"),
            ({"budget_params": 20}, BudgetError, "budget `params` .=20. is below the smallest"),
            ({"workers": 999}, NasError, "`workers` .=999. must be at most the number of cores"),
            ({"scheduler": "hyper"}, NasError, "`scheduler` .='hyper'. must be one of: asha"),
            (
                {"fidelity": "time"},
                NasError,
                "`fidelity` .='time'. must be one of: auto, epochs",
            ),
            ({"budget_size": 80}, BudgetError, "budget `size_bytes` .=80. is below the smallest"),
        ],
    )
    def test_bad_options_leave_nothing_behind(self, config, tmp_path, options, error, message):
        with pytest.raises(error, match=message):
            nas.search(replace(config, **options), tmp_path / "run")
        assert not (tmp_path / "run").exists()

    def test_an_existing_run_is_not_overwritten(self, config, result):
        before = (result.directory / "run.json").read_bytes()
        with pytest.raises(
            OSError, match="exists; choose another --out, or go on with: nas resume"
        ):
            nas.search(config, result.directory)
        assert (result.directory / "run.json").read_bytes() == before

    def test_only_a_run_folder_can_be_resumed(self, tmp_path):
        with pytest.raises(OSError, match="is not a run folder"):
            nas.resume(tmp_path)


def test_a_study_in_another_database(config, tmp_path):
    """Two runs share a file, one is resumed, and no run folder has a study of its own."""
    shared = replace(config, storage=f"sqlite:///{tmp_path / 'shared.db'}", trials=1, finalists=1)
    runs = [tmp_path / "one", tmp_path / "other"]
    for seed, run in enumerate(runs):
        nas.search(replace(shared, seed=seed), run)
    again = nas.resume(runs[0])
    assert len(again.trials) == 1
    assert not (runs[0] / "study.db").exists()
    names = [json.loads((run / "run.json").read_text())["study"] for run in runs]
    assert len(set(names)) == 2
    with pytest.raises(StudyError, match=r"keeps its study in study\.db"):
        nas.resume(nas.search(replace(config, trials=1), tmp_path / "own").directory, storage="x")
