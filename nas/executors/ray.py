"""Jobs on a Ray cluster: Ray Tune starts, watches and restarts them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from evaluators.child import Child
from evaluators.data import load, to_arrays
from search_spaces.errors import NasError
from search_spaces.plugins import loaded_plugins

from ..progress import SILENT
from ._ray_cluster import RayError, connect, disconnect, nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from evaluators.data import DataSpec
    from evaluators.evaluator import Report
    from evaluators.isolated import Caller
    from search_spaces.space import Space

    from ._ray_latency import LatencyNodes
    from .local import Job

J = TypeVar("J")
T = TypeVar("T")


class RayExecutor:
    """Runs jobs on a Ray cluster to their end, or until a report is answered with no.

    Use it as a context manager: leaving it disconnects, and ends a Ray of our own. Where the caller
    is connected already, it stays so.

    Args:
        address: "auto" or HOST:PORT of a cluster; None starts a Ray on this machine.
        cpus: of a job.
        gpus: of a job; several share one for a fraction.
        concurrency: jobs under way at the same time; None is as many as there is room for.
        data: sets of images that go into the object store once, and are mapped by all workers.
        latency_resources: what nodes have on which latency is measured; None is the head node.
        note: told of each worker that is lost.

    Attributes:
        workers: jobs under way at the same time.
    """

    def __init__(
        self,
        address: str | None,
        *,
        cpus: float = 1,
        gpus: float = 0,
        concurrency: int | None = None,
        data: tuple[DataSpec, ...] = (),
        latency_resources: Sequence[str | None] = (None,),
        note: Callable[[str], None] = SILENT.note,
    ) -> None:
        self._address = address
        self._cpus, self._gpus = cpus, gpus
        self._concurrency = concurrency
        self._data = data
        self._shared: list[tuple[DataSpec, Any]] = []
        self._keeper: Any = None
        self._latency_resources = latency_resources
        self._note = note
        self._child = Child()
        self._latency_nodes: LatencyNodes | None = None
        self._ours = False
        self.workers = concurrency or 1

    def __enter__(self) -> RayExecutor:
        self._refuse_without_gpu()
        self._ours |= connect(self._address)
        try:
            self._room()  # at once: to take the nodes below is slow
            if self._latency_nodes is None and (self._address or any(self._latency_resources)):
                self._reserve()
            room = self._room()  # without any, Tune would wait for ever
            self.workers = self._concurrency or room
        except NasError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        if self._latency_nodes:
            self._latency_nodes.end()
            self._latency_nodes = None
        if self._keeper is not None:
            ray.kill(self._keeper)
            self._keeper = None
        self._shared = []
        if self._ours:
            disconnect()
            self._ours = False

    @property
    def places(self) -> int:
        """How many networks can be measured at the same time."""
        return self._latency_nodes.places if self._latency_nodes else 1

    def measuring(self, resource: str | None) -> Caller:
        """Return what runs functions where latency is measured, at `resource`."""
        return _There(self, resource)

    def call(self, resource: str | None, function: Callable[..., T], *arguments: Any) -> T:
        """Run a measurement at `resource`; see `evaluators.child.Child`."""
        if self._latency_nodes:
            return self._latency_nodes.call(resource, function, *arguments)
        return self._child.call(function, *arguments)

    def call_parent(self, resource: str | None, function: Callable[..., T], *arguments: Any) -> T:
        """Do what `call` does, for a function that starts processes: children must have none."""
        if self._latency_nodes:
            return self._latency_nodes.call(resource, function, *arguments)
        return function(*arguments)

    def _refuse_without_gpu(self) -> None:
        """Say at once what a Ray of this machine would only tell once it is up."""
        import ray
        import torch

        if not self._gpus or self._address or ray.is_initialized() or torch.cuda.device_count():
            return
        raise RayError(
            f"`gpus_per_trial` (={self._gpus:g}) must be 0 on this machine, where PyTorch finds no "
            "GPU: leave it out, or give the `ray_address` of a cluster that has some"
        )

    def _reserve(self) -> None:
        """Take the nodes that measure latency."""
        from ._ray_latency import LatencyNodes

        self._latency_nodes = LatencyNodes(
            nodes(), self._latency_resources, lambda node: self._fit(node["Resources"])
        )

    def _data_once(self) -> list[tuple[DataSpec, Any]]:
        """Put the images into the object store, the first time."""
        import ray

        if not self._shared:
            self._shared = [(data, ray.put(to_arrays(load(data)))) for data in self._data]
        return self._shared

    def _keeper_once(self) -> Any:
        """Start what writes into run folders of this machine, the first time."""
        from ._ray_files import keeper

        if self._keeper is None:
            self._keeper = keeper()
        return self._keeper

    def run(
        self,
        next_job: Callable[[], Job[J] | None],
        on_report: Callable[[J, Report], bool],
        on_end: Callable[[J, str | None], None],
    ) -> None:
        """Work until `next_job` returns None and all that was begun has ended.

        Args:
            next_job: called whenever there is room; after None it is asked again when another job
                has ended, for that may leave something to do.
            on_report: says whether the job goes on.
            on_end: told once a job, with a reason if it failed.

        Raises:
            Crash: a job raised what is neither a `NasError`, nor a lack of memory or disk, nor from
                a plugin.
        """
        from ray import tune

        from ._ray_searcher import StudySearcher
        from ._ray_tune import run_trials
        from ._ray_worker import Worker

        searcher = StudySearcher(next_job, on_report, on_end, self._note)
        worker = tune.with_parameters(
            Worker,
            plugins=loaded_plugins(),
            threads=max(1, int(self._cpus)),
            shared=self._data_once(),
            keeper=self._keeper_once(),
        )
        worker = tune.with_resources(worker, {"cpu": self._cpus, "gpu": self._gpus})
        run_trials(worker, searcher, self.workers)

    def _room(self) -> int:
        """Return how many jobs fit into the cluster as it is."""
        held = self._latency_nodes.held if self._latency_nodes else ()
        totals = [n["Resources"] for n in nodes() if n["NodeID"] not in held]
        room = sum(self._fit(total) for total in totals)
        if not room:
            there = Counter(_processors(n.get("CPU", 0), n.get("GPU", 0)) for n in totals)
            raise RayError(
                f"no node has the {_processors(self._cpus, self._gpus)} of a training: there are "
                f"{', '.join(f'{n} with {what}' for what, n in there.items())}; ask for less, or "
                "start such a node first: nodes are counted once, when a search begins"
            )
        return room

    def _fit(self, total: dict[str, float]) -> int:
        wanted = {"CPU": self._cpus, "GPU": self._gpus}
        return min(int(total.get(name, 0) / amount) for name, amount in wanted.items() if amount)


def _processors(cpus: float, gpus: float) -> str:
    return f"{cpus:g} CPUs and {gpus:g} GPUs"


@dataclass(frozen=True)
class _There:
    """One of the places of an executor where latency is measured."""

    executor: RayExecutor
    resource: str | None

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """See `Child.call`."""
        return self.executor.call(self.resource, function, *arguments)


def to_tune(space: Space) -> dict[str, Any]:
    """Return a space for Tune's own searchers: a `tune.choice` for each gene, by its name.

    `space.decode(config)` makes the architecture; genes that another choice leaves dormant do not
    matter to it.
    """
    from ray import tune

    return {gene.name: tune.choice(gene.choices) for gene in space.genes()}
