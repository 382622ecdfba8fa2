"""The contract of a target, a device with a runtime, and its text: `cpu:threads=2,batch=4`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from importlib import import_module
from time import get_clock_info, perf_counter, thread_time
from typing import TYPE_CHECKING, Any

from search_spaces.errors import NasError, SpecError
from search_spaces.registry import Registry

from .cores import cores

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor, nn

Step = Callable[[], None]


class TargetUnavailable(NasError, RuntimeError):
    """A device or its runtime is missing on this machine."""


@dataclass(frozen=True)
class Target:
    """Base of all targets: subclasses are frozen dataclasses that enter themselves in `TARGETS`.

    Args:
        threads: of the CPU, that one inference may use.
        batch: images of one inference.

    Raises:
        SpecError: an option is below 1, or the machine has fewer cores than `threads`.
    """

    threads: int = 1
    batch: int = 1

    def __post_init__(self) -> None:
        for option in ("threads", "batch"):
            if getattr(self, option) < 1:
                raise SpecError(f"`{option}` (={getattr(self, option)}) must be at least 1")
        if self.threads > len(cores()):
            raise SpecError(
                f"`threads` (={self.threads}) must be at most {len(cores())}: no more cores here"
            )

    def prepare(self, network: nn.Module, example: Tensor) -> AbstractContextManager[Step]:
        """Make `network` ready to run on `example`, (batch, C, H, W) from 0 to 1.

        Within the context, calling the step runs once and returns when the device is done; settings
        of the process, such as PyTorch's threads, are restored after it.

        Raises:
            TargetUnavailable: the device or its runtime is missing.
            GraphError: the runtime cannot run this network.
        """
        raise NotImplementedError

    @property
    def clock(self) -> Callable[[], float]:
        """Return the clock, in seconds, that a step is timed with: that on the wall."""
        return perf_counter

    def __str__(self) -> str:
        name = next(name for name, known in TARGETS.items() if known is type(self))
        values = [(f.name, getattr(self, f.name), f.default) for f in fields(self)]
        options = ",".join(f"{key}={value}" for key, value, usual in values if value != usual)
        return f"{name}:{options}" if options else name


@dataclass(frozen=True)
class CpuTarget(Target):
    """Base of targets whose one thread, if they have one, is the one that calls the step."""

    @property
    def clock(self) -> Callable[[], float]:
        """Return a clock that stands still while something else has the core, where there is one.

        It needs a single thread, and a system that counts finely (not Windows).
        """
        fine = get_clock_info("thread_time").resolution < 1e-6
        return thread_time if self.threads == 1 and fine else perf_counter


def runtime(module: str) -> Any:
    """Return the module of a runtime, imported late.

    Raises:
        TargetUnavailable: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise TargetUnavailable(f"{error}; install it with: pip install {module}") from error


class GraphError(NasError, RuntimeError):
    """A network that a target's runtime refuses."""


TARGETS: Registry[type[Target]] = Registry("target", "evaluators.targets")


def parse_target(text: str) -> Target:
    """Return the target that `text` names, with its options after a colon; `str` writes it back.

    Raises:
        UnknownName: no target has this name.
        SpecError: an unknown option, or a value out of its range.
    """
    name, _, options = text.partition(":")
    target = TARGETS[name]
    types: dict[str, Any] = {f.name: type(f.default) for f in fields(target)}
    values: dict[str, Any] = {}
    for option in filter(None, options.split(",")):
        key, _, value = option.partition("=")
        if key not in types or key in values:
            fault = "given twice" if key in values else "unknown"
            raise SpecError(f"{text!r}: option {key!r} is {fault}; {name} has: {', '.join(types)}")
        try:
            values[key] = types[key](value)
        except ValueError:
            kind = types[key].__name__
            raise SpecError(f"{text!r}: `{key}` (={value!r}) must be of type {kind}") from None
    try:
        return target(**values)
    except SpecError as error:
        raise SpecError(f"{text!r}: {error}") from None
