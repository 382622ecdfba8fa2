"""How repeatable latencies are: python -m benchmarks.latency_repeat [--tries 200].

Ten whole measurements of two networks beside 0, 1 and 2 busy loops: the coefficient of variation
(CV) of what `Latency` says, next to that of the mean of 50 runs by the clock on the wall, as other
toolkits take it. With --tries, `compare` is asked so many times about a network and itself, for
--seconds at most, and about it and a wider one, which takes a twentieth longer. 3 s are 100 rounds
on a quiet machine, whose looks spend 98 % of the error that `compare` allows itself; --tries 200
--only-tries --loops 0 takes 13 minutes there.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from contextlib import contextmanager
from statistics import mean, median, stdev
from time import perf_counter
from typing import TYPE_CHECKING

from evaluators.latency import Latency
from evaluators.pairs import compare
from evaluators.program import program_of
from evaluators.reference import REFERENCE, TASK, reference_program
from evaluators.target import parse_target
from search_spaces.arch import Arch, Task
from search_spaces.networks import NETWORKS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluators.pairs import Comparison, Program

NETWORK = NETWORKS["mobilenetv2-1.0"].arch
CASES = {
    "reference network, 32x32": (REFERENCE, TASK),
    "MobileNetV2 1.0, 224x224": (NETWORK, Task(1000, (3, 224, 224))),
}
# The reference network with a wider last stage: it takes about a twentieth longer.
WIDER = Arch.from_text(str(REFERENCE).replace("width=96", "width=112"))
MEASUREMENTS = 10
SHOWN = 20  # tries between two lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", default="cpu")
    parser.add_argument("--tries", type=int, default=0)
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="most time for a try with itself"
    )
    parser.add_argument("--loops", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--only-tries", action="store_true", help="leave out the ten measurements")
    arguments = parser.parse_args()
    print(f"target {arguments.target}, {MEASUREMENTS} measurements, load {os.getloadavg()[0]:.1f}")
    for loops in arguments.loops:
        with busy(loops):
            for name, (arch, task) in () if arguments.only_tries else CASES.items():
                repeat(name, loops, Latency(arguments.target), arch, task)
            if arguments.tries:
                verdicts(loops, arguments.target, arguments.tries, arguments.seconds)
    print(f"load {os.getloadavg()[0]:.1f} at the end")


def repeat(name: str, loops: int, latency: Latency, arch: Arch, task: Task) -> None:
    start = perf_counter()
    reports = [next(iter(latency(arch, task))).metrics for _ in range(MEASUREMENTS)]
    seconds = (perf_counter() - start) / MEASUREMENTS
    ours = [metrics["latency_ms"] for metrics in reports]
    flagged = sum(metrics["latency_flagged"] for metrics in reports)
    program = program_of(arch, task, parse_target(latency.target))
    plain = [mean_of_50(program) for _ in range(MEASUREMENTS)]
    print(
        f"{name:26} {loops} loops: {mean(ours):.4g} ms, CV {cv(ours):.2%}, {flagged:.0f} flagged, "
        f"{seconds:.1f} s each; mean of 50 runs: {mean(plain):.4g} ms, CV {cv(plain):.2%}",
        flush=True,
    )


def mean_of_50(program: Program) -> float:
    with program() as timer:
        timer(3)
        start = perf_counter()
        timer(50)
        return 1e3 * (perf_counter() - start) / 50


def verdicts(loops: int, name: str, tries: int, seconds: float) -> None:
    target = parse_target(name)
    ours = reference_program(target)
    wider = program_of(WIDER, TASK, target)
    for what, theirs, most in (("itself", ours, seconds), ("a wider one", wider, 60.0)):
        found, start = [], perf_counter()
        for _ in range(tries):
            found.append(compare(ours, theirs, target, seconds=most))
            if len(found) % SHOWN == 0 or len(found) == tries:
                spent = perf_counter() - start
                left = spent / len(found) * (tries - len(found))
                print(
                    f"against {what:11} {loops} loops: {told(found)}, {spent:.0f} s, "
                    f"{left:.0f} s left, load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )


def told(found: list[Comparison]) -> str:
    counts = {v: sum(c.verdict == v for c in found) for v in ("faster", "slower", "tie")}
    undecided, rounds = sum(c.undecided for c in found), mean(c.rounds for c in found)
    ratio = median(c.ratio for c in found)
    return (
        f"{len(found)} tries, {counts}, {undecided} undecided, {rounds:.0f} rounds, "
        f"ratio {ratio:.3f}"
    )


@contextmanager
def busy(loops: int) -> Iterator[None]:
    # A benchmark that is killed must not leave them behind.
    code = f"import os\nwhile os.getppid() == {os.getpid()}: sum(range(10**6))"
    command = [sys.executable, "-c", code]
    running = [subprocess.Popen(command) for _ in range(loops)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def cv(values: list[float]) -> float:
    return stdev(values) / mean(values)


if __name__ == "__main__":
    main()
