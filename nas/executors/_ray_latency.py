"""Which nodes of a cluster measure latency, and a process on each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._ray_node import NodeProcess
from .ray import HEAD, RayError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Node = dict[str, Any]


class LatencyNodes:
    """The first node with each resource, held by a process as long as this is open.

    A node is taken whole, unless trainings would then find no room. Targets whose resources are
    on the same node share its process.

    Args:
        nodes: of the cluster.
        resources: of the targets, the most important first; None is the head node.
        fits: whether a training has room on a node.

    Attributes:
        processes: by resource.
        held: ids of the nodes that train nothing.

    Raises:
        RayError: no node has a resource.
        WorkerError: a node is lost, or others hold its resources.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        resources: Iterable[str | None],
        fits: Callable[[Node], object],
    ) -> None:
        chosen = {resource: _first(nodes, resource) for resource in resources}
        self.held: set[str] = set()
        self.processes: dict[str | None, NodeProcess] = {}
        for node in {node["NodeID"]: node for node in chosen.values()}.values():
            ours = [r for r, where in chosen.items() if where["NodeID"] == node["NodeID"]]
            taken = {r: node["Resources"][r] for r in ours if r is not None}
            free = [n for n in nodes if n["NodeID"] not in self.held | {node["NodeID"]}]
            if any(map(fits, free)):
                taken["CPU"] = node["Resources"].get("CPU", 0)
                self.held.add(node["NodeID"])
            process = NodeProcess(node["NodeID"], taken)
            try:
                process.start()
            except BaseException:
                self.end()
                raise
            self.processes |= dict.fromkeys(ours, process)

    def end(self) -> None:
        """End the processes and give the nodes back."""
        for process in self.processes.values():
            process.end()


def _first(nodes: Sequence[Node], resource: str | None) -> Node:
    name = resource or HEAD
    found = next((node for node in nodes if node["Resources"].get(name)), None)
    if found is None:
        known = sorted({r for node in nodes for r in node["Resources"] if ":" not in r})
        raise RayError(f"no node has the resource {name!r} of `latency_resource`; known: {known}")
    return found
