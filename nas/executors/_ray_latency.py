"""Which nodes of a cluster measure latency, and a process on each.

All nodes with a resource measure, each one network at a time; there must be no difference between
them.
"""

from __future__ import annotations

from contextlib import suppress
from queue import LifoQueue
from typing import TYPE_CHECKING, Any, TypeVar

from evaluators.child import ChildDied, WorkerError
from evaluators.device import device

from ._ray_cluster import HEAD, RETRIES, RayError
from ._ray_node import NodeProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Node = dict[str, Any]
T = TypeVar("T")


class LatencyNodes:
    """The nodes with each resource, held by a process each as long as this is open.

    A node is taken whole, unless trainings would then find no room. Targets whose resources are
    on the same node share its process.

    Args:
        nodes: of the cluster.
        resources: of the targets, the most important first; None is the head node.
        fits: whether a training has room on a node.

    Attributes:
        places: how many networks can be measured at the same time.
        held: ids of the nodes that train nothing.

    Raises:
        RayError: no node has a resource, or nodes with the same one are different machines.
        WorkerError: a node is lost, or others hold its resources.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        resources: Iterable[str | None],
        fits: Callable[[Node], object],
    ) -> None:
        chosen = {resource: _with(nodes, resource) for resource in resources}
        self.held: set[str] = set()
        self.places = max(map(len, chosen.values()))
        self._processes: dict[str, NodeProcess] = {}  # by node
        self._with: dict[str | None, set[NodeProcess]] = {r: set() for r in chosen}
        self._free: dict[str | None, LifoQueue[NodeProcess]] = {r: LifoQueue() for r in chosen}
        self._lost: set[NodeProcess] = set()
        for node in {node["NodeID"]: node for found in chosen.values() for node in found}.values():
            ours = [r for r, found in chosen.items() if node in found]
            taken = {r: node["Resources"][r] for r in ours if r is not None}
            free = [n for n in nodes if n["NodeID"] not in self.held | {node["NodeID"]}]
            if any(map(fits, free)):
                taken["CPU"] = node["Resources"].get("CPU", 0)
                self.held.add(node["NodeID"])
            process = NodeProcess(node["NodeID"], taken)
            self._processes[node["NodeID"]] = process
            for resource in ours:
                self._with[resource].add(process)
                self._free[resource].put(process)
        try:
            for process in self._processes.values():
                process.start()
            for resource, found in chosen.items():
                self._refuse_different(resource, found)
        except BaseException:
            self.end()
            raise

    def call(self, resource: str | None, function: Callable[..., T], *arguments: Any) -> T:
        """Run a function on a node with `resource` that has nothing else to do.

        The node that was used last comes first, so that what is measured one after the other is
        measured on the same. Where a process or its node is lost meanwhile, it runs again.

        Raises:
            ChildDied: a process was lost each time, perhaps of what it was to run.
            WorkerError: all nodes with the resource are lost.
        """
        for _ in range(RETRIES):
            with suppress(ChildDied):
                return self._call(resource, function, *arguments)
        return self._call(resource, function, *arguments)

    def _call(self, resource: str | None, function: Callable[..., T], *arguments: Any) -> T:
        free = self._free[resource]
        while True:
            process = free.get()
            try:
                return process.call(function, *arguments)
            except WorkerError:
                self._lost.add(process)
                if self._lost >= self._with[resource]:
                    raise
            finally:
                if process not in self._lost or self._lost >= self._with[resource]:
                    free.put(process)  # also the last one: who waits for it is to hear of it, too

    def end(self) -> None:
        """End the processes and give the nodes back."""
        for process in self._processes.values():
            process.end()

    def _refuse_different(self, resource: str | None, nodes: Sequence[Node]) -> None:
        if len(nodes) > 1:
            kinds = {self._processes[node["NodeID"]].call(device) for node in nodes}
            if len(kinds) > 1:
                raise RayError(
                    f"the nodes with the resource {resource!r} of `latency_resource` are different "
                    f"machines, whose latencies cannot be compared: {', '.join(sorted(kinds))}; "
                    "give it to those of one kind"
                )


def _with(nodes: Sequence[Node], resource: str | None) -> list[Node]:
    name = resource or HEAD
    found = [node for node in nodes if node["Resources"].get(name)]
    if not found:
        known = sorted({r for node in nodes for r in node["Resources"] if ":" not in r})
        raise RayError(f"no node has the resource {name!r} of `latency_resource`; known: {known}")
    return found
