"""One process on the node where latency is measured; it stands in for `evaluators.child.Child`."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

import ray
from ray.exceptions import (
    ActorUnschedulableError,
    GetTimeoutError,
    RayActorError,
    RayTaskError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from evaluators.child import ChildDied, WorkerError
from search_spaces.plugins import loaded_plugins

if TYPE_CHECKING:
    from collections.abc import Callable

    from search_spaces.plugins import Plugin

T = TypeVar("T")
_START_S = 120.0


@ray.remote(num_cpus=0)
class _Measuring:
    """The far end: one call at a time."""

    def __init__(self, plugins: tuple[Plugin, ...]) -> None:
        for plugin in plugins:
            plugin.load()

    def ready(self) -> None:
        """Answer once the process is up."""

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return `function(*arguments)`."""
        return function(*arguments)


class NodeProcess:
    """A process on a node, which holds resources of it as long as it lives.

    Args:
        node: Ray's id of the node.
        resources: what trainings cannot have meanwhile.
    """

    def __init__(self, node: str, resources: dict[str, float]) -> None:
        resources = dict(resources)
        self._options = {
            "num_cpus": resources.pop("CPU", 0),
            "resources": resources,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False),
        }
        self._actor: Any = None
        self._ended = False
        self._lock = Lock()  # targets of one node share its process, and threads may ask for both

    def start(self) -> None:
        """Start it.

        Raises:
            WorkerError: the node is lost, or others hold its resources.
        """
        self._actor = _Measuring.options(**self._options).remote(loaded_plugins())  # type: ignore[attr-defined]
        try:
            ray.get(self._actor.ready.remote(), timeout=_START_S)
        except (GetTimeoutError, RayActorError, ActorUnschedulableError) as error:
            self._kill()
            raise WorkerError(
                f"the node that measures latency is lost or taken ({type(error).__name__}): once "
                "it is free, begin again, or go on with: nas resume RUN"
            ) from None

    def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return `function(*arguments)`, run over there, or raise what it raises.

        Raises:
            ChildDied: the process or its node was lost meanwhile.
            WorkerError: it could not start again, or was ended.
        """
        with self._lock:
            if self._ended:  # a thread that has waited meanwhile would start another Ray
                raise WorkerError("the process that measures latency has ended")
            if self._actor is None:
                self.start()
            try:
                return ray.get(self._actor.call.remote(function, *arguments))  # type: ignore[no-any-return]
            except RayActorError:
                self._kill()  # if it cannot be reached for a while, it still holds the resources
                raise ChildDied("the process that measured latency was lost") from None
            except RayTaskError as error:
                raise error.cause from None

    def end(self) -> None:
        """End it and give its resources back."""
        self._ended = True
        self._kill()

    def _kill(self) -> None:
        actor, self._actor = self._actor, None  # at once: `end` is called by another thread
        if actor is not None:
            ray.kill(actor)
