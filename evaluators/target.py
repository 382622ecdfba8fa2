"""The contract of a target, a device with a runtime, and its text: `cpu:threads=2,batch=4`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from time import get_clock_info, perf_counter, thread_time
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from search_spaces.errors import SpecError
from search_spaces.registry import Registry

from .cores import cores
from .onnx_tracer import traced
from .runtimes import TargetUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from torch import Tensor, nn

# Runs an inference so many times in a row and returns the mean milliseconds of one.
Timer = Callable[[int], float]


@dataclass(frozen=True)
class Target:
    """Base of all targets: subclasses are frozen dataclasses that enter themselves in `TARGETS`.

    A field is an option of the text: an int, a float, a `choice`, or a str. A str takes the rest of
    the text, so there is at most one, and it is the last field.

    Args:
        threads: of the CPU, that one inference may use.
        batch: images of one inference.

    Raises:
        SpecError: an option has none of its values.
    """

    threads: int = 1
    batch: int = 1

    def __post_init__(self) -> None:
        for name in ("threads", "batch"):
            if getattr(self, name) < 1:
                raise SpecError(f"`{name}` (={getattr(self, name)}) must be at least 1")
        for option in fields(self):
            value, choices = getattr(self, option.name), option.metadata.get("choices")
            if choices and value not in choices:
                raise SpecError(f"`{option.name}` (={value!r}) must be one of {', '.join(choices)}")

    runtimes: ClassVar[tuple[str, ...]] = ()  # the packages whose versions a latency depends on
    extra: ClassVar[str | None] = None  # of this project, which brings them
    repeats: ClassVar[bool] = True  # a round times a model often; else once: it does so itself

    def export(self, network: nn.Module, *shapes: tuple[int, int, int]) -> Any:
        """Return `network` in the form that `load` takes: by way of an ONNX file of any batch size.

        There is one shape (C, H, W) for each of its inputs.

        Raises:
            TargetUnavailable: a package for the export is missing.
            GraphError: an operator that the form lacks.
        """
        return self.from_onnx(traced(network, *shapes))

    def from_onnx(self, graph: bytes) -> Any:
        """Return an ONNX file in the form that `load` takes: as it is.

        Raises:
            TargetUnavailable: a package for the conversion is missing.
            GraphError: this target takes no ONNX files, or not this one.
        """
        return graph

    def load(self, model: Any, *examples: Tensor) -> AbstractContextManager[Timer]:
        """Make ready to time `model` on its inputs, each (batch, C, H, W) from 0 to 1.

        Within the context the timer runs and blocks until the device is done; settings of the
        process, such as PyTorch's threads, are restored after it.

        Raises:
            TargetUnavailable: the device or its runtime is missing.
            GraphError: the runtime cannot run this model.
        """
        raise NotImplementedError

    def load_part(self, model: Any, *examples: Tensor) -> AbstractContextManager[Timer]:
        """Make ready to time a part of a network: as `load`, without what a call by itself costs.

        A network is called once, its parts are not.
        """
        return self.load(model, *examples)

    @property
    def pins(self) -> bool:
        """Whether the thread that times should stay on one core."""
        return False

    @property
    def runtime(self) -> str:
        """Return what runs a model here, with its version.

        Raises:
            TargetUnavailable: it is not installed.
        """
        try:
            return " ".join(f"{name} {version(name)}" for name in self.runtimes)
        except PackageNotFoundError as error:
            package = f"'nas-compact[{self.extra}]'" if self.extra else error.name
            raise TargetUnavailable(
                f"{error.name} is not installed; install it with: pip install {package}"
            ) from error

    def __str__(self) -> str:
        name = next(name for name, known in TARGETS.items() if known is type(self))
        values = [(f.name, getattr(self, f.name), f.default) for f in fields(self)]
        options = ",".join(f"{key}={value}" for key, value, usual in values if value != usual)
        return f"{name}:{options}" if options else name


@dataclass(frozen=True)
class CpuTarget(Target):
    """Base of targets whose one thread, if they have one, is the one that calls.

    That thread stays on a core and is timed by its own clock, which stands still while something
    else has the core. It needs a system that counts finely (not Windows).

    Raises:
        SpecError: more threads than cores.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threads > len(cores()):
            raise SpecError(
                f"`threads` (={self.threads}) must be at most {len(cores())}: no more cores here"
            )

    @property
    def pins(self) -> bool:
        """See `Target.pins`."""
        return self.threads == 1

    def timer(self, step: Callable[[], object]) -> Timer:
        """Return the timer of a step that blocks."""
        fine = get_clock_info("thread_time").resolution < 1e-6
        clock = thread_time if self.threads == 1 and fine else perf_counter

        def time(calls: int) -> float:
            start = clock()
            for _ in range(calls):
                step()
            return 1e3 * (clock() - start) / calls

        return time


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let PyTorch use `count` threads; the former number comes back after."""
    usual = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


TARGETS: Registry[type[Target]] = Registry("target", "evaluators.targets")


def choice(*values: str) -> Any:
    """Return an option that has one of `values`: the first, unless it is said."""
    return field(default=values[0], metadata={"choices": values})


def parse_target(text: str) -> Target:
    """Return the target that `text` names, with its options after a colon; `str` writes it back.

    Raises:
        UnknownName: no target has this name.
        SpecError: an unknown option, or a value out of its range.
    """
    name, _, options = text.partition(":")
    target = TARGETS[name]
    types: dict[str, Any] = {f.name: type(f.default) for f in fields(target)}
    long = {f.name for f in fields(target) if types[f.name] is str and not f.metadata}
    values: dict[str, Any] = {}
    while options:
        option, _, others = options.partition(",")
        key, _, value = option.partition("=")
        if key in long:  # takes the rest, commas and all
            value, others = options.partition("=")[2], ""
        if key not in types or key in values:
            fault = "given twice" if key in values else "unknown"
            raise SpecError(f"{text!r}: option {key!r} is {fault}; {name} has: {', '.join(types)}")
        try:
            values[key] = types[key](value)
        except ValueError:
            kind = types[key].__name__
            raise SpecError(f"{text!r}: `{key}` (={value!r}) must be of type {kind}") from None
        options = others
    try:
        return target(**values)
    except SpecError as error:
        raise SpecError(f"{text!r}: {error}") from None
