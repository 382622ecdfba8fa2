"""`nas measure`: the latency of one network, and which of two is faster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluators.child import ChildDied
from evaluators.device import device
from evaluators.footprint import footprint
from evaluators.latency import Latency, metrics_of
from evaluators.pairs import compare
from evaluators.program import program_of, program_of_file
from evaluators.runtimes import GraphError
from evaluators.target import parse_target
from search_spaces.errors import CandidateError

from .reading import read_arch
from .show import task_of

if TYPE_CHECKING:
    from rich.console import Console

    from evaluators.program import Prepared
    from evaluators.target import Target

Row = dict[str, Any]


def measure(
    network: str,
    latency: Latency,
    *,
    image: str | None = None,
    classes: int | None = None,
    against: str | None = None,
    seconds: float = 60.0,
) -> Row:
    """Return the latency of a network, and how it compares with another one, as plain values.

    Args:
        network: an ONNX file, or what `nas show` takes.
        latency: the target, and how exactly it is measured.
        image: shape of the images, for an architecture.
        classes: number of classes, for an architecture.
        against: the network to compare with.
        seconds: most time for the comparison.

    Raises:
        SpecError: no such file, no architecture, or no shape.
        TargetUnavailable: the device or its runtime is missing.
        CandidateError: the runtime refuses a network, or crashes.
    """
    target = parse_target(latency.target)
    ours = _program(network, image, classes, target)
    about = {"target": latency.target, "device": device(), "runtime": target.runtime}
    found: Row = {"network": network} | about | _read(network, ours, latency)
    if against:
        theirs = _program(against, image, classes, target)
        found["against"] = {"network": against} | _read(against, theirs, latency)
        found["comparison"] = vars(compare(ours, theirs, target, seconds=seconds))
    return found


def print_measurement(found: Row, console: Console) -> None:
    """Print what `measure` returns."""
    console.print(f"{found['device']}, {found['runtime']}, target {found['target']}", style="dim")
    for row in filter(None, (found, found.get("against"))):
        wide = ", wider than the tolerance: a noisy machine" if row["flagged"] else ""
        console.print(
            f"{row['network']}: {row['latency_ms']:.4g} ms "
            f"({row['latency_low_ms']:.4g} to {row['latency_high_ms']:.4g}{wide}), "
            f"{row['ratio']:.3f} of the reference, {row['runs']:,} runs{_beside(row)}",
            soft_wrap=True,
        )
    if comparison := found.get("comparison"):
        told = {
            "faster": "the first is faster",
            "slower": "the second is faster",
            "tie": "not decided in time" if comparison["undecided"] else "a tie",
        }
        console.print(
            f"{told[comparison['verdict']]}: ratio {comparison['ratio']:.3f} "
            f"({comparison['low']:.3f} to {comparison['high']:.3f}), "
            f"{comparison['rounds']} rounds",
            style="bold",
        )


def _beside(row: Row) -> str:
    """Return what an inference takes beside time, as far as that is known."""
    told = [
        f"; {name} {row[key] / scale:.3g} {unit}"
        for key, name, scale, unit in (
            ("file_bytes", "file", 1e6, "MB"),
            ("memory_bytes", "memory", 1e6, "MB"),
            ("energy_mj", "energy", 1, "mJ"),
        )
        if key in row
    ]
    return "".join(told)


def _program(network: str, image: str | None, classes: int | None, target: Target) -> Prepared:
    if network.lower().endswith(".onnx"):
        return program_of_file(Path(network), target)
    arch = read_arch(network)
    try:
        return program_of(arch, task_of(network, arch, image, classes), target)
    except GraphError as error:
        raise CandidateError(f"{network}: {target}: {error}") from error


def _read(network: str, program: Prepared, latency: Latency) -> Row:
    try:
        beside = footprint(program)  # first: it has a process of its own, which a crash ends
    except ChildDied as error:
        raise CandidateError(f"{network}: {latency.target}: {error}") from error
    reading = latency.read(program)
    figures = metrics_of(reading, latency.reference())
    row = {name: figures[name] for name in ("latency_ms", "latency_low_ms", "latency_high_ms")}
    return row | vars(reading) | beside
