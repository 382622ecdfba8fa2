"""Files of a run folder that no other node sees."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import nas
from nas.executors.local import Files, Job
from nas.executors.ray import RayExecutor
from nas.verify import verify
from search_spaces.plugins import read_plugin

pytestmark = pytest.mark.ray


@pytest.fixture
def blind(tmp_path):
    """A cluster of a head and a node to which `tmp_path` is an empty folder."""
    from ray.cluster_utils import Cluster

    hide = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs none "{tmp_path}" && exec "$@"', "-"]
    if not shutil.which("unshare") or subprocess.run([*hide, "true"], check=False).returncode:
        pytest.skip("needs the right to mount: run it as root")
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    command = [*hide, sys.executable, "-m", "ray.scripts.scripts", "start", "--num-cpus=2"]
    command += ["--address", cluster.address, "--block"]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE) as node:
        try:
            assert any(b"Ray runtime started" in line for line in node.stdout)
            yield cluster.address
        finally:
            os.killpg(node.pid, signal.SIGTERM)
            cluster.shutdown()


def test_files_come_before_a_job_and_go_as_it_changes_them(blind, tmp_path):
    plugin = read_plugin(Path(__file__).with_name("works.py"))
    plugin.load()
    works = sys.modules[f"nas_plugin_{plugin.digest[:12]}"]
    run = tmp_path / "run"
    (run / "models").mkdir(parents=True)
    (run / "given").write_text("given")
    job = Job("a", works.Writes(run), Files(run, ("given", "models/missing")))
    seen = {}

    def listen(_, report):
        seen[report.step] = sorted(p.relative_to(run).as_posix() for p in run.rglob("*.*"))
        return True

    jobs, ends = iter([job]), []
    with RayExecutor(blind) as executor:
        executor.run(lambda: next(jobs, None), listen, lambda *end: ends.append(end))
    assert ends == [("a", None)]
    assert seen == {1: ["models/1.txt"], 2: ["models/2.txt", "models/new/2.txt"]}
    assert (run / "models" / "new" / "2.txt").read_text() == "given"
    assert not (run / "given").exists()


@pytest.mark.parametrize("place", ["", "file://"])
def test_a_search_needs_no_folder_that_other_nodes_see(blind, toy, tmp_path, monkeypatch, place):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    config = nas.SearchConfig(
        data=str(toy / "images.npz"), space=str(toy / "space.json"), sampler="random",
        budget_params=1500, trials=6, timeout=None, epochs=3, finalists=1, final_epochs=2,
        ray_address=blind,
    )  # fmt: skip
    done = nas.search(config, f"{place}{tmp_path}/run")
    assert done.status == "complete"
    assert (done.trials["epochs"] == 3).any()  # some went on from a checkpoint
    run = tmp_path / "run"  # what the URL has, too
    assert verify(run) == ([run / "models" / done.recommended], [])
    assert not list((run / "models").glob(".*"))
