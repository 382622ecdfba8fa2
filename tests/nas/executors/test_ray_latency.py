"""Nodes that measure latency, of a real cluster on this machine."""

import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from shlex import quote

import pytest

import nas
from evaluators.child import ChildDied, WorkerError
from nas.executors import _ray_latency
from nas.executors.ray import RayError, RayExecutor
from search_spaces.plugins import read_plugin

pytestmark = pytest.mark.ray
PROGRAM = """
import os, sys, time
begun = time.time()
time.sleep(0.3)
with open(sys.argv[1], "a") as log:
    log.write(f"{os.environ['XDG_RUNTIME_DIR']} {begun} {time.time()}\\n")
print(3)
"""


@pytest.fixture
def cluster(tmp_path):
    """A head that trains and two nodes that measure, each with locks as of its own machine."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        locks = {"XDG_RUNTIME_DIR": str(tmp_path / name)}
        cluster.add_node(num_cpus=1, resources={"edge": 1}, env_vars=locks)
    yield cluster
    cluster.shutdown()


@pytest.fixture
def works():
    plugin = read_plugin(Path(__file__).with_name("works.py"))
    plugin.load()
    return sys.modules[f"nas_plugin_{plugin.digest[:12]}"]


def overlaps(spans):
    """Return how many pairs of spans, each (who, begin, end), of different ones overlap."""
    return sum(a[0] < b[0] and max(a[1], b[1]) < min(a[2], b[2]) for a in spans for b in spans)


def test_a_search_measures_on_two_nodes_at_the_same_time(
    cluster, works, toy, tmp_path, monkeypatch
):
    monkeypatch.setattr("nas.setup.footprint", works.node)
    script, log = tmp_path / "time.py", tmp_path / "log"
    script.write_text(PROGRAM)
    words = " ".join(quote(str(word)) for word in (sys.executable, script, log))
    config = nas.SearchConfig(
        data=str(toy / "images.npz"), space=str(toy / "space.json"), sampler="random",
        budget_params=1500, trials=6, timeout=None, epochs=1, finalists=1, final_epochs=1,
        ray_address=cluster.address, latency_resource="edge",
        target=f"command:program={words}", predict_latency=False,
    )  # fmt: skip
    done = nas.search(config, tmp_path / "run")
    assert done.status == "complete"
    assert done.trials["number"].tolist() == list(range(6))
    assert done.trials["latency_ms"].notna().all()
    raylets = [node.all_processes["raylet"][0].process.pid for node in cluster.worker_nodes]
    assert done.pareto["memory_bytes"].isin(raylets).all()
    spans = [line.split() for line in log.read_text().splitlines()]
    assert {who for who, *_ in spans} == {str(tmp_path / "one"), str(tmp_path / "two")}
    for name in ("one", "two"):  # one network at a time on each
        own = sorted(float(t) for who, *span in spans for t in span if who.endswith(name))
        assert own == [float(t) for who, *span in spans for t in span if who.endswith(name)]
    assert overlaps([(who, float(begun), float(ended)) for who, begun, ended in spans]) > 3


def test_nodes_of_another_kind_are_refused(cluster, works, monkeypatch):
    monkeypatch.setattr(_ray_latency, "device", works.lock_folder)
    message = r"the resource 'edge' of .* are different machines, .*: .*/one, .*/two; give it to"
    with (
        pytest.raises(RayError, match=message),
        RayExecutor(cluster.address, latency_resources=["edge"]),
    ):
        pass


def test_a_node_that_is_lost_leaves_the_measuring_to_the_other(cluster, works):
    with RayExecutor(cluster.address, latency_resources=["edge"]) as executor:
        assert executor.places == 2
        assert executor.workers == 1  # the head
        measuring = executor.measuring("edge")

        def two():
            with ThreadPoolExecutor(2) as pool:
                return set(pool.map(lambda _: measuring.call(works.lock_folder), range(2)))

        both = two()
        assert len(both) == 2
        one, other = cluster.worker_nodes
        cluster.remove_node(one, allow_graceful=False)
        while len(left := two()) > 1:  # what ran there outlives its node for a moment
            pass
        assert left < both
        cluster.remove_node(other, allow_graceful=False)
        with pytest.raises(
            WorkerError, match=r"lost or taken \(.*Error\): once it is free, .* nas resume"
        ):
            all(two() for _ in count())


def test_what_was_measured_when_the_process_was_killed_is_measured_again(cluster, works, tmp_path):
    with RayExecutor(cluster.address, latency_resources=["edge"]) as executor:
        measuring = executor.measuring("edge")
        assert measuring.call(works.killed, tmp_path / "once", 1) == "xx"
        with pytest.raises(ChildDied):  # it may be the network that kills it
            measuring.call(works.killed, tmp_path / "always", 9)
        assert (tmp_path / "always").read_text() == "xxxx"
        assert measuring.call(works.killed, tmp_path / "never", 0) == "x"
