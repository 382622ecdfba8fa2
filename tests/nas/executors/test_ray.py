"""A local Ray: what every executor does, and what it does when workers are lost."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import pytest

import nas
from evaluators.accuracy import Accuracy
from evaluators.data import DataSpec
from evaluators.fidelity import Fidelity
from evaluators.recipe import Recipe
from nas.executors.local import Crash, Files, Job
from nas.executors.ray import RayError, RayExecutor
from nas.finalists import Finish
from nas.runs import create_run
from search_spaces.arch import Arch, Task
from search_spaces.plugins import read_plugin
from search_spaces.spaces import read_space

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def works():
    plugin = read_plugin(Path(__file__).with_name("works.py"))
    plugin.load()
    return sys.modules[f"nas_plugin_{plugin.digest[:12]}"]


@pytest.fixture(scope="module")
def temporary(tmp_path_factory):
    """The folder for temporary files of workers; that of Ray's sockets must have a short path."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", "/tmp")
        patch.setenv("TMPDIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def executor(temporary):
    with RayExecutor(None, concurrency=2) as executor:
        yield executor


def run(executor, works, goes_on=lambda key, report: True, files=None, on_end=lambda key: None):
    files = files or [None] * len(works)
    jobs = iter(map(Job, count(), works, files))
    reports, ends = {}, {}

    def listen(key, report):
        reports.setdefault(key, []).append(report)
        return goes_on(key, report)

    def end(key, reason):
        assert key not in ends
        ends[key] = reason
        on_end(key)

    executor.run(lambda: next(jobs, None), listen, end)
    return reports, ends


def test_jobs_report_end_fail_and_are_retried(executor, works, tmp_path):
    jobs = [
        works.Count(3),
        works.Count(100),
        works.Count(1, "candidate"),
        works.KilledOnce(tmp_path / "killed"),
        works.Count(1, "killed"),
        works.Count(1),
        works.Count(0),
    ]
    reports, ends = run(executor, jobs, lambda key, report: key != 1 or report.step < 3)
    steps = {key: [r.step for r in found] for key, found in reports.items()}
    assert steps == {0: [1, 2, 3], 1: [1, 2, 3], 2: [1], 3: [1, 2, 3], 4: [1], 5: [1]}
    assert (tmp_path / "killed").exists()
    lost = "its worker was lost 4 times"
    assert ends == {0: None, 1: None, 2: "the loss is nan", 3: None, 4: lost, 5: None, 6: None}


def test_what_is_given_to_a_process_that_died_idle_is_tried_again(temporary, works, capsys):
    notes, pids = [], []

    def goes_on(key, report):
        pids.append(int(report.metrics["pid"]))
        return True

    def kill_the_idle(key):
        if key in (0, 2):
            os.kill(pids[-1], signal.SIGKILL)

    jobs = [works.Count(1), works.Count(1), works.Count(1), works.Count(1, "killed")]
    with RayExecutor(None, concurrency=1, note=notes.append) as executor:
        _, ends = run(executor, jobs, goes_on, on_end=kill_the_idle)
    assert ends == dict.fromkeys(range(3)) | {3: "its worker was lost 4 times"}
    lost = "a worker was lost; what it had begins again ({} of 3)".format
    assert notes == [lost(1), lost(1), lost(2), lost(3)]
    assert len(pids) == 4  # the last one was given to the process that died idle, and begun
    assert len(set(pids)) == 3
    printed = capsys.readouterr()
    assert not printed.out
    assert "Traceback" not in printed.err


def test_processes_are_kept_for_the_next_job(executor, works):
    reports, ends = run(executor, [works.Count(1)] * 30)
    assert len(ends) == 30
    assert len({r.metrics["pid"] for found in reports.values() for r in found}) <= 2


def test_a_bug_ends_the_run_with_its_traceback(executor, works):
    with pytest.raises(Crash, match=r"TypeError: .* missing 2 required positional arguments"):
        run(executor, [partial(Accuracy())])  # without an architecture and a task


def test_a_bug_of_a_plugin_is_the_jobs_failure(executor, works):
    _, ends = run(executor, [works.Count(1, "bug"), works.Count(1)])
    assert re.fullmatch(r"plugin .*works\.py: line \d+: ZeroDivisionError: a bug", ends[0])
    assert ends[1] is None


def test_an_error_of_the_listener_ends_the_run(executor, works):
    def fail(key, report):
        raise RuntimeError("no more disk")

    with pytest.raises(RuntimeError, match="no more disk"):
        run(executor, [works.Count(1000, seconds=0.01)] * 2, fail)


@pytest.mark.parametrize("concurrency", [None, 2])
def test_a_job_that_fits_nowhere_is_refused(executor, concurrency):
    with (
        pytest.raises(
            RayError, match="no node has the 1 CPUs and 99 GPUs of a training: there are"
        ),
        RayExecutor(None, gpus=99, concurrency=concurrency),
    ):
        pass


def test_a_gpu_that_this_machine_lacks_is_refused_before_ray_starts(monkeypatch):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    refused = pytest.raises(RayError, match="must be 0 on this machine, where PyTorch finds no GPU")
    with refused, RayExecutor(None, gpus=0.5):
        pass


def test_data_are_put_once_and_mapped(executor, works, toy, monkeypatch):
    import ray

    puts, put = [], ray.put
    monkeypatch.setattr(ray, "put", lambda value: puts.append(value) or put(value))
    specs = tuple(DataSpec(str(toy / "images.npz"), image_size=side) for side in (8, 16))
    with RayExecutor(None, concurrency=2, data=specs) as sharing:
        for _ in range(2):
            reports, _ = run(sharing, [*map(works.Shares, specs)] * 4)
            assert all(r.metrics["mapped"] for found in reports.values() for r in found)
    assert sum("train" in value for value in puts if isinstance(value, dict)) == 2


def test_a_training_whose_worker_is_lost_goes_on_from_its_checkpoint(
    executor, works, toy, tmp_path, temporary
):
    data, recipe = DataSpec(str(toy / "images.npz")), Recipe(epochs=3)
    arch = Arch.from_text("stem(width=8) | stage(width=8,stride=2): mbconv(expand=1) | head")
    rungs = Fidelity(1), Fidelity(3)
    folder = create_run(nas.SearchConfig(), tmp_path / "run")
    candidate = Accuracy(data, recipe, rungs[:1], folder / "checkpoints" / "candidate.pt")
    finish = Finish(data, recipe, folder / "models")
    files = [Files(folder, ("checkpoints/candidate.pt",)), finish.files(arch)]
    paused = partial(candidate, arch, Task(3, (1, 16, 16)))
    assert run(executor, [paused], files=files)[1] == {0: None}
    works_of = {"rung": replace(candidate, rungs=rungs), "finalist": finish}
    jobs = [
        works.KilledInTraining(partial(work, arch, Task(3, (1, 16, 16))), 2, tmp_path / name)
        for name, work in works_of.items()
    ]
    reports, ends = run(executor, jobs, files=files)
    assert ends == {0: None, 1: None}
    assert [path.name for path in (folder / "models").iterdir()] == [arch.digest]
    assert [[r.step for r in reports[key]] for key in (0, 1)] == [[2, 3], [1, 2, 3]]
    assert (tmp_path / "rung").read_text().split() == ["2", "2", "3"]  # from the last rung
    assert (tmp_path / "finalist").read_text().split() == ["1", "2", "3"]  # from the last epoch
    run(executor, [works.Count(1)])  # a worker that begins removes what killed ones have left
    assert not [*temporary.glob("nas-job-*")]


def test_tunes_own_searchers_drive_a_space(executor, toy, tmp_path):
    from ray import tune

    space = read_space(toy / "space.json")

    def params(config):
        return {"params": space.decode(config).cost(Task(3, (1, 16, 16))).params}

    tuner = tune.Tuner(
        params,
        param_space=nas.to_tune(space),
        tune_config=tune.TuneConfig(num_samples=3, metric="params", mode="min"),
        run_config=tune.RunConfig(storage_path=str(tmp_path), verbose=0),
    )
    found = tuner.fit()
    assert found.num_errors == 0
    assert found.get_best_result().config.keys() == {gene.name for gene in space.genes()}


def test_concurrency_of_one_gives_the_local_trials(toy, executor, tmp_path):
    options = {
        "data": str(toy / "images.npz"),
        "space": str(toy / "space.json"),
        "budget_params": 1500,
        "trials": 5,
        "timeout": None,
        "epochs": 2,
        "finalists": 1,
        "final_epochs": 1,
    }
    here = nas.search(nas.SearchConfig(**options, workers=1), tmp_path / "here")
    there = nas.search(nas.SearchConfig(**options, ray=True, concurrency=1), tmp_path / "there")
    columns = ["number", "digest", "params"]
    assert there.trials[columns].equals(here.trials[columns])
    assert list(there.trials.columns) == list(here.trials.columns)
    both = there.trials["epochs"] == here.trials["epochs"]  # halving also looks at the latency
    assert both.any()
    assert there.trials["accuracy"][both].equals(here.trials["accuracy"][both])
    assert there.status == "complete"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "error: no Ray cluster at 127.0.0.1:1: .*refused"),
        ("nowhere", "error: `ray_address` .='nowhere'. must be 'auto' or HOST:PORT"),
        ("head:99999", "error: `ray_address` .='head:99999'. must be 'auto' or HOST:PORT"),
        ("ray://head:10001", "error: `ray_address` .='ray://head:10001'. must be 'auto' or HOST"),
    ],
)
def test_a_cluster_that_is_not_there_is_refused(tmp_path, address, message):
    code = "from nas.cli import main; main()"
    arguments = ["search", "--ray-address", address, "--out", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert re.search(message, done.stderr)
    assert not (tmp_path / "run").exists()
