"""How a study on Ray scales: throughput by workers, and the driver's time and memory by trials.

Workers are logical: their evaluator only waits. The figures are of the time between the first and
the last round of trials, so that starting processes (some seconds each, once) is left out.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from evaluators.evaluator import Metric
from nas.executors.local import Job
from nas.executors.ray import RayExecutor
from nas.study import Study
from search_spaces.arch import Task
from search_spaces.plugins import read_plugin
from search_spaces.spaces import find_space

PLUGIN = """
import time
from dataclasses import dataclass

from evaluators.evaluator import Report


@dataclass(frozen=True)
class Wait:
    seconds: float

    def __call__(self):
        time.sleep(self.seconds)
        yield Report(1, {"accuracy": 0.5})
"""
ROUNDS = 8


def waiting_work(seconds: float) -> Any:
    path = Path(tempfile.mkdtemp()) / "wait.py"
    path.write_text(PLUGIN)
    plugin = read_plugin(path)
    plugin.load()
    return sys.modules[f"nas_plugin_{plugin.digest[:12]}"].Wait(seconds)


def throughput(workers: int, seconds: float, cores: int) -> dict[str, float]:
    work = waiting_work(seconds)
    jobs = iter([Job(i, work) for i in range(ROUNDS * workers)])
    ends: list[tuple[float, float]] = []
    with RayExecutor(None, cpus=min(1.0, cores / workers), concurrency=workers) as executor:
        executor.run(
            lambda: next(jobs, None),
            lambda *_: True,
            lambda *_: ends.append((perf_counter(), process_time())),
        )
    (start, cpu), (end, cpu_end) = ends[workers - 1], ends[-1]
    count = len(ends) - workers
    return {
        "workers": workers,
        "of_ideal": count * seconds / workers / (end - start),
        "driver_ms": 1e3 * (cpu_end - cpu) / count,
    }


def lookups(trials: int) -> list[dict[str, float]]:
    """Every trial of one study through Ray, with the random sampler: asked, looked up, told."""
    work = waiting_work(0.0)
    study = Study(
        find_space("small"), Task(10, (1, 28, 28)), (Metric("accuracy", "max"),), sampler="random"
    )
    marks = [(perf_counter(), process_time())]
    rows: list[dict[str, float]] = []

    def end(candidate: Any, _: str | None) -> None:
        study.tell(candidate, "complete", {"accuracy": candidate.number % 97 / 97})
        if study.asked % 1_000 == 0 and candidate.number == study.asked - 1:
            marks.append((perf_counter(), process_time()))
            rows.append(
                {
                    "trials": study.asked,
                    "ms": marks[-1][0] - marks[-2][0],  # seconds of 1,000 are ms of one
                    "driver_ms": marks[-1][1] - marks[-2][1],
                    "memory_mb": _memory_mb(),
                }
            )

    def next_job() -> Job[Any] | None:
        candidate = study.ask() if study.asked < trials else None
        return candidate and Job(candidate, work)

    with RayExecutor(None, concurrency=1) as executor:
        executor.run(next_job, lambda *_: True, end)
    return rows


def _memory_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def plot(scaling: list[dict[str, float]], growth: list[dict[str, float]], out: Path) -> None:
    titles = ["throughput, share of the ideal", "driver's ms a trial", "driver's memory, MB"]
    figure = make_subplots(rows=1, cols=3, subplot_titles=titles)
    lines = [
        (scaling, "workers", "of_ideal"),
        (growth, "trials", "driver_ms"),
        (growth, "trials", "memory_mb"),
    ]
    for column, (rows, x, y) in enumerate(lines, start=1):
        xs, ys = [row[x] for row in rows], [row[y] for row in rows]
        figure.add_scatter(x=xs, y=ys, mode="lines+markers", row=1, col=column)
        figure.update_xaxes(title=x, row=1, col=column)
        figure.update_yaxes(rangemode="tozero", row=1, col=column)
    figure.update_layout(showlegend=False, width=1200, height=400)
    go.Figure(figure).write_html(out, include_plotlyjs=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", default="1,2,4,8,16")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--cores", type=int, default=2, help="of this machine")
    parser.add_argument("--lookups", type=int, default=10_000)
    parser.add_argument("--out", type=Path, help="a page with plots")
    options = parser.parse_args()
    scaling = []
    for text in filter(None, options.workers.split(",")):
        scaling.append(throughput(int(text), options.seconds, options.cores))
        print(json.dumps(scaling[-1]), flush=True)
    growth = lookups(options.lookups) if options.lookups else []
    for row in growth:
        print(json.dumps(row))
    if options.out:
        plot(scaling, growth, options.out)


if __name__ == "__main__":
    main()
