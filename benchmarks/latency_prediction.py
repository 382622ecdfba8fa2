"""How good predictions are: python -m benchmarks.latency_prediction mobile --input 3x224x224.

The whole acceptance in one run: `nas latency warm` fills the cache, then random networks of the
space that the correction was not fitted on are predicted and measured end to end. --cache FOLDER
begins with an empty cache; --direct measures each network by a plain loop with ONNX Runtime, too,
which shares no code with ours; --loops has so many busy loops run beside the measurements. What was
found so far is printed every ten networks, and after Ctrl-C.

On a quiet machine `mobile` takes 20 minutes at most with --direct: 10 for the cache, and 4 s and
some 2 s for each of 100 networks.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from itertools import islice
from random import Random
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pandas as pd

from benchmarks.latency_repeat import busy
from evaluators.latency import Latency
from evaluators.latency_model import LatencyModel
from evaluators.program import program_of
from evaluators.reference import REFERENCE, TASK
from evaluators.target import parse_target
from nas.latency import quality
from nas.show import parse_shape
from search_spaces.arch import Task
from search_spaces.spaces import find_space

if TYPE_CHECKING:
    from collections.abc import Iterator

    from search_spaces.arch import Arch
    from search_spaces.space import Space

Row = dict[str, float]

SESSIONS, WARM_UPS, RUNS, LEAST_S = 5, 10, 20, 0.03  # of the plain loop
SHOWN = 10  # networks between two lines
TRUTHS = {
    "measured": "by `Latency`",
    "direct": "by the plain loop, as a multiple of the reference's",
    "direct_ms": "by the plain loop, by the clock",
}


def main() -> None:
    options = arguments()
    if options.cache:
        os.environ["XDG_CACHE_HOME"] = options.cache
    filled = fill(options) if options.fill else {}
    task = Task(options.classes, parse_shape(options.input))
    model = LatencyModel(Latency(options.target, seconds=options.each), task)
    if model.predictor is None:
        raise SystemExit("too few networks are known; raise --fill")
    archs = islice(held_out(model, find_space(options.space), options.seed), options.networks)
    rows: list[Row] = []
    start = perf_counter()
    try:
        with busy(options.loops):
            for arch in archs:
                rows.append(row(model, arch, direct=options.direct))
                if len(rows) % SHOWN == 0:
                    print(line(rows, perf_counter() - start), flush=True)
                if perf_counter() - start > options.seconds:
                    break
    finally:  # also when interrupted
        if len(rows) > 1:
            print(json.dumps(summary(model, rows) | filled, indent=2))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("space")
    parser.add_argument("--input", default="1x28x28")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--target", default="cpu")
    parser.add_argument("--networks", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--cache", help="folder of the cache, in the place of ~/.cache")
    parser.add_argument("--fill", type=float, default=600.0, help="seconds; 0: as it is")
    parser.add_argument("--fitted", type=int, default=150, help="networks for the correction")
    parser.add_argument("--each", type=float, default=4.0, help="most seconds for a network")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no network later")
    parser.add_argument("--loops", type=int, default=0)
    parser.add_argument("--direct", action="store_true")
    return parser.parse_args()


def fill(options: argparse.Namespace) -> dict[str, Any]:
    """Run `nas latency warm`; return what it says, and how long it took."""
    start, load = perf_counter(), os.getloadavg()[0]
    command = [sys.executable, "-m", "nas", "latency", "warm", options.space, "--json"]
    for name, value in (
        ("input", options.input),
        ("classes", options.classes),
        ("target", options.target),
        ("networks", options.fitted),
        ("timeout", f"{options.fill:g}s"),
    ):
        command += [f"--{name}", str(value)]
    done = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    found = {
        "fill_s": round(perf_counter() - start, 1),
        "fill_complete": done["complete"],
        "fill_networks": "{done} of {total}".format(**done["networks"]),
        "fill_parts": "{done} of {total}".format(**done["parts"]),
        "fill_load": [load, os.getloadavg()[0]],
    }
    print(found, flush=True)
    return found


def held_out(model: LatencyModel, space: Space, seed: int) -> Iterator[Arch]:
    """Yield random networks that were not fitted on, none of them twice."""
    rng, seen = Random(seed), {network.arch for network in model.networks}
    while True:
        arch = space.sample(rng)
        if arch not in seen:
            seen.add(arch)
            yield arch


def row(model: LatencyModel, arch: Arch, *, direct: bool) -> Row:
    """Predict `arch`, then measure it."""
    missed = sum(not model.knows(part) for part in arch.parts(model.task))
    model.predict(arch)  # measures parts that were never met
    start = perf_counter()
    found = model.predict(arch)
    spent = 1e3 * (perf_counter() - start)
    assert found is not None
    metrics = next(iter(model.latency(arch, model.task))).metrics
    cost = arch.cost(model.task)
    known = {
        "predicted_ms": found.ms,
        "predicted_low_ms": found.low_ms,
        "predicted_high_ms": found.high_ms,
        "measured": metrics["latency_ms"],
        "flagged": metrics["latency_flagged"],
        "params": float(cost.params),
        "macs": float(cost.macs),
        "missed": float(missed),
        "prediction_ms": spent,
        "load": os.getloadavg()[0],
    }
    if not direct:
        return known
    ratio, ms = directly(arch, model.task)
    return known | {"direct": ratio * model.latency.reference().ms, "direct_ms": ms}


def directly(arch: Arch, task: Task) -> tuple[float, float]:
    """Return the latency over the reference's, and in ms: medians over a few sessions each."""
    graphs = [
        program_of(a, t, parse_target("cpu")).model for a, t in ((arch, task), (REFERENCE, TASK))
    ]
    times = [
        (plain_ms(graphs[0], task.shape), plain_ms(graphs[1], TASK.shape)) for _ in range(SESSIONS)
    ]
    return median(ours / theirs for ours, theirs in times), median(ours for ours, _ in times)


def plain_ms(graph: bytes, shape: tuple[int, int, int]) -> float:
    """Return the median of some runs in a row, by the wall clock, in a session of its own."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).random((1, *shape), dtype=np.float32)
    feed = {session.get_inputs()[0].name: image}
    for _ in range(WARM_UPS):
        session.run(None, feed)
    times: list[float] = []
    while len(times) < RUNS or sum(times) < LEAST_S:
        start = perf_counter()
        session.run(None, feed)
        times.append(perf_counter() - start)
    return 1e3 * median(times)


def quality_of(rows: list[Row]) -> dict[str, dict[str, float]]:
    """Return how good the predictions are by each way of measuring."""
    table = pd.DataFrame(rows)
    found = {}
    for truth in TRUTHS:
        if truth in table:
            against = table.assign(latency_ms=table[truth])
            bias = float((against["predicted_ms"] / against["latency_ms"]).median() - 1)
            found[truth] = quality(against) | {"bias": bias}
    return found


def line(rows: list[Row], seconds: float) -> str:
    told = [
        f"{truth}: {q['within_5_percent']:.0%} within 5 %, "
        f"{q['within_10_percent']:.0%} within 10 %, "
        f"tau {q['kendall_predicted']:.3f}, coverage {q['coverage_of_90_percent']:.0%}, "
        f"bias {q['bias']:+.1%}"
        for truth, q in quality_of(rows).items()
    ]
    return f"{len(rows)} networks, {seconds:.0f} s, load {rows[-1]['load']:.1f}; {'; '.join(told)}"


def summary(model: LatencyModel, rows: list[Row]) -> dict[str, Any]:
    table, predictor = pd.DataFrame(rows), model.predictor
    assert predictor is not None
    return {
        **quality_of(rows),
        "fitted_on": len(model.fitted),
        "half_width_of_90_percent": predictor.high - 1,
        "parts_not_in_the_cache": float(table["missed"].mean()),
        "flagged": float(table["flagged"].mean()),
        "prediction_ms": float(table["prediction_ms"].median()),
        "load": [float(table["load"].min()), float(table["load"].max())],
    }


if __name__ == "__main__":
    main()
