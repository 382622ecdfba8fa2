"""The targets of a search: each has a name, columns in the tables, and perhaps a limit.

The name is the text before the colon, or one of your own before a `=`: `cpu:threads=2` is `cpu`,
`edge=command:program=./phone.sh` is `edge`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from evaluators.device import device
from evaluators.evaluator import Report
from evaluators.target import parse_target
from search_spaces.errors import CandidateError

from .columns import LATENCY
from .config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from evaluators.isolated import Isolated
    from search_spaces.arch import Arch, Task

    from .config import SearchConfig

T = TypeVar("T")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")


@dataclass(frozen=True)
class NamedTarget:
    """One of the targets.

    Attributes:
        name: told apart by.
        text: as `evaluators.target.parse_target` reads it.
        prefix: of its columns.
        on: what to say behind "latency", if there are others.
        limit_ms: longest latency.
        resource: of the Ray nodes that measure it.
    """

    name: str
    text: str
    prefix: str = ""
    on: str = ""
    limit_ms: float | None = None
    resource: str | None = None

    def to_plain(self) -> dict[str, Any]:
        """Return what run.json says of it."""
        known = {"name": self.name, "target": self.text, "column": self.column}
        return known if self.limit_ms is None else known | {"limit_ms": self.limit_ms}

    @property
    def column(self) -> str:
        """The column of its latency."""
        return self.prefix + LATENCY


def targets_of(config: SearchConfig) -> tuple[NamedTarget, ...]:
    """Return the targets of a search, the most important one first.

    Raises:
        ConfigError: two of a name, or a limit or a resource of none of them.
    """
    texts = dict(map(_named, config.all_targets))
    names = list(texts)
    if len(names) < len(config.all_targets):
        raise ConfigError(
            f"`target` (={', '.join(config.all_targets)}) has two of a name; give them names of "
            "your own: --target fast=cpu:threads=2"
        )
    limits = _each("budget_latency", config.budget_latency, names)
    resources = _each("latency_resource", config.latency_resource, names)
    return tuple(
        NamedTarget(
            name,
            text,
            prefix="" if name == names[0] else f"{name}_",
            on=f" on {name}" if len(names) > 1 else "",
            limit_ms=limits.get(name),
            resource=resources.get(name),
        )
        for name, text in texts.items()
    )


def _named(text: str) -> tuple[str, str]:
    head = text.partition(":")[0]
    name, given, kind = head.partition("=")
    if given and not _NAME.fullmatch(name):
        raise ConfigError(
            f"`target` (={text!r}): the name {name!r} must be of letters, digits and dashes"
        )
    return name, kind + text[len(head) :] if given else text


def _each(option: str, value: T | Mapping[str, T] | None, names: Sequence[str]) -> Mapping[str, T]:
    """Return an option's value by target's name; one without a name is the first target's."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        return {names[0]: value}
    values = {name or names[0]: each for name, each in value.items()}
    for name in values:
        if name not in names:
            raise ConfigError(f"`{option}` names the target {name!r}; known: {', '.join(names)}")
    if len(values) < len(value):
        raise ConfigError(f"`{option}` has two values for {names[0]}")
    return values


class OnEach:
    """Measures on one target after the other.

    Args:
        evaluators: of each target.
    """

    def __init__(self, evaluators: Mapping[NamedTarget, Isolated]) -> None:
        self._evaluators = evaluators

    def __call__(self, arch: Arch, task: Task) -> Iterator[Report]:
        """Yield one report, with the columns of all.

        Raises:
            CandidateError: a target refuses the network; the message says which.
        """
        metrics: dict[str, float] = {}
        for target, evaluator in self._evaluators.items():
            try:
                found = next(iter(evaluator(arch, task))).metrics
            except CandidateError as error:
                if not target.on:
                    raise
                raise CandidateError(f"{target.name}: {error}") from error
            metrics |= {target.prefix + name: value for name, value in found.items()}
        yield Report(1, metrics)


def excess(targets: Iterable[NamedTarget], metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return by how many milliseconds each limit is broken (above 0) or kept, where measured."""
    return {
        target.column: metrics[target.column] - target.limit_ms
        for target in targets
        if target.limit_ms is not None and target.column in metrics
    }


def too_slow(targets: Iterable[NamedTarget], metrics: Mapping[str, Any]) -> str | None:
    """Return what to say of a network that breaks a limit, or None."""
    for target in targets:
        if any(over > 0 for over in excess([target], metrics).values()):
            ms = metrics[target.column]
            return f"latency{target.on} {ms:.3g} ms is over {target.limit_ms:.3g} ms"
    return None


def about(text: str) -> dict[str, Any]:
    """Return what a latency depends on, told by the device that measures it."""
    target = parse_target(text)
    known = {"threads": target.threads, "batch": target.batch, "runtime": target.runtime}
    return {"target": str(target), "device": device()} | known
