"""What the driver of a search does by itself, by trials: nothing is measured or trained.

The first phase runs as in a search, with its study in SQLite, its table and its rungs; figures of
candidates are made up at once. `--scheduler none` shows what grows without promotions.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

from evaluators.evaluator import Report
from nas.clock import Clock
from nas.config import SearchConfig
from nas.exploring import Exploration
from nas.progress import Progress
from nas.runs import create_run
from nas.setup import Setup
from nas.study import Study

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nas.executors.local import Job
    from search_spaces.arch import Arch, Task


def measured(arch: Arch, task: Task) -> Iterator[Report]:
    yield Report(1, {"latency_ms": arch.cost(task).macs / 1e6})


@dataclass
class Instant:
    """An executor whose jobs have ended as soon as they begin."""

    epochs: int
    every: int
    rows: list[dict[str, float]] = field(default_factory=list)
    workers: int = 1

    def run(  # as every executor
        self,
        next_job: Callable[[], Job[Any] | None],
        on_report: Callable[[Any, Report], bool],
        on_end: Callable[[Any, str | None], None],
    ) -> None:
        """Make up reports."""
        last, seen = (perf_counter(), process_time()), 0
        while job := next_job():
            number, rungs = job.key.number, job.work.func.rungs
            accuracy = Random(number).random()
            for epoch in range(1, rungs[-1].epochs + 1):
                metrics = {"accuracy": accuracy * epoch / self.epochs, "images_per_s": 1.0}
                on_report(job.key, Report(epoch, metrics))
            on_end(job.key, None)
            if number == seen + self.every - 1:  # for the first time
                now, seen = (perf_counter(), process_time()), number + 1
                ms = [1e3 * (b - a) / self.every for a, b in zip(last, now, strict=True)]
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                memory = pages * resource.getpagesize() / 1e6
                self.rows.append(
                    {"trials": seen, "ms": ms[0], "driver_ms": ms[1], "memory_mb": memory}
                )
                print(json.dumps(self.rows[-1]), flush=True)
                last = now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=1_000)
    parser.add_argument("--scheduler", default="asha")
    options = parser.parse_args()
    config = SearchConfig(
        sampler="random", trials=options.trials, timeout=None, epochs=9,
        scheduler=options.scheduler, space="small", predict_latency=False,
    )  # fmt: skip
    setup = Setup(config)
    setup.screening = measured  # type: ignore[assignment]
    setup.executor = Instant(setup.epochs, options.every)  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as folder:
        run = create_run(config, Path(folder) / "run")
        study = Study(
            setup.space,
            setup.task,
            setup.objectives,
            sampler="random",
            storage=f"sqlite:///{run / 'study.db'}",
        )
        Exploration(setup, study, Clock(run, None), run, Progress()).run()


if __name__ == "__main__":
    main()
