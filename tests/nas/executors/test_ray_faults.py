"""What is lost when parts of a cluster are: three nodes on this machine, processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

import nas
from nas.executors.local import Job
from nas.executors.ray import RayExecutor
from search_spaces.plugins import read_plugin

pytestmark = pytest.mark.ray


@pytest.fixture
def cluster():
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    yield cluster
    cluster.shutdown()


def test_a_node_is_lost_and_another_joins_in_the_middle(cluster):
    plugin = read_plugin(Path(__file__).with_name("works.py"))
    plugin.load()
    works = sys.modules[f"nas_plugin_{plugin.digest[:12]}"]
    cluster.add_node(num_cpus=1)
    lost = cluster.add_node(num_cpus=2)
    keys, steps, ends, nodes = [], {}, [], set()

    def next_job():
        if len(nodes) == 3 and len(keys) >= 12:
            return None
        keys.append(len(keys))  # until the node that joins has done something, too
        return Job(keys[-1], works.Count(5, seconds=0.1))

    def listen(key, report):
        steps.setdefault(key, []).append(report.step)
        nodes.add(report.metrics["node"])
        if lost in cluster.worker_nodes and len(nodes) == 2 and len(ends) > 2:
            cluster.remove_node(lost, allow_graceful=False)  # with two jobs on it
            cluster.add_node(num_cpus=2)
        return True

    def end(key, reason):
        ends.append((key, reason))

    with RayExecutor(cluster.address) as executor:
        assert executor.workers == 3  # the head measures latency
        executor.run(next_job, listen, end)
    assert sorted(ends) == [(key, None) for key in keys]
    assert steps == {key: [1, 2, 3, 4, 5] for key in keys}  # none is told twice


def test_latency_is_measured_on_its_node_which_trains_nothing(cluster):
    cluster.add_node(num_cpus=4, resources={"edge": 2, "board": 1})
    cluster.add_node(num_cpus=4, resources={"phone": 1})
    resources = ["edge", "phone", "board"]
    with RayExecutor(cluster.address, latency_resources=resources) as executor:
        assert executor.workers == 1  # two nodes are held by the measurements
        edge, phone, board = (executor.measuring(name).call(os.getppid) for name in resources)
        assert edge == board != phone
        here = os.getppid()
        plugin = read_plugin(Path(__file__).with_name("works.py"))
        plugin.load()
        works = sys.modules[f"nas_plugin_{plugin.digest[:12]}"]
        jobs, nodes = iter([Job(key, works.Count(1)) for key in range(6)]), set()
        executor.run(
            lambda: next(jobs, None),
            lambda _, report: not nodes.add(report.metrics["node"]),
            lambda *_: None,
        )
    assert not {edge, phone} & {here, *nodes}


def search(toy, address, out):
    """Begin a search in a process of its own."""
    code = "import sys; from nas.cli import main; main(sys.argv[1:])"
    options = f"search --trials 8 --epochs 2 --finalists 1 --final-epochs 1 --sampler random \
        --ray-address {address} --data {toy / 'images.npz'} --space {toy / 'space.json'}"
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, *options.split(), "--out", str(out)]
    return subprocess.Popen(command, env=os.environ | paths)


def rows(out):
    table = out / "trials.csv"
    return pd.read_csv(table) if table.exists() else pd.DataFrame()


@pytest.mark.parametrize("killed", ["driver", "head"])
def test_a_run_goes_on_when_its_driver_or_head_was_killed(cluster, toy, tmp_path, killed):
    from ray.cluster_utils import Cluster

    run = tmp_path / "run"
    driver = search(toy, cluster.address, run)
    while len(rows(run)) < 2:
        assert driver.poll() is None
        time.sleep(0.05)
    if killed == "driver":
        os.kill(driver.pid, signal.SIGKILL)
        address = cluster.address
    else:
        cluster.shutdown()  # kills its processes, one by one
    driver.wait(timeout=200)
    before = rows(run)
    another = Cluster() if killed == "head" else None
    if another:
        another.add_node(num_cpus=2, include_dashboard=False)
        address = another.address
    try:
        assert nas.resume(run, ray_address=address).status == "complete"
    finally:
        if another:
            another.shutdown()
    after = rows(run)
    assert len(after) == 8
    assert after["digest"].is_unique
    kept = after[after["number"].isin(before["number"])].reset_index(drop=True)
    assert kept["digest"].tolist() == before["digest"].tolist()
    ended = before["state"] != "paused"  # the others may have gone on
    columns = [c for c in before.columns if before[c][ended].notna().any()]
    pd.testing.assert_frame_equal(kept[columns][ended], before[columns][ended])
    about = json.loads((run / "run.json").read_text())
    assert about["status"] == "complete"
    assert about["config"]["ray_address"] == address
