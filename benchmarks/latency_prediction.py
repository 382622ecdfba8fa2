"""How good predictions are: python -m benchmarks.latency_prediction mobile --input 3x224x224.

Random networks of a space, none of them among those that the correction was fitted on, are
predicted and then measured end to end. The cache must be warm (`nas latency warm`); --direct
measures by a plain loop of its own with ONNX Runtime, interleaved with the reference network, and
--loops has so many busy loops run beside all this.
"""

from __future__ import annotations

import argparse
import json
from itertools import count
from random import Random
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

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
    from collections.abc import Callable

    from search_spaces.arch import Arch
    from search_spaces.space import Space

SESSIONS, RUNS, WARM_UPS = 5, 20, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("space")
    parser.add_argument("--input", default="1x28x28")
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--target", default="cpu")
    parser.add_argument("--networks", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="no network later")
    parser.add_argument("--loops", type=int, default=0)
    parser.add_argument("--direct", action="store_true")
    options = parser.parse_args()
    task = Task(options.classes, parse_shape(options.input))
    model = LatencyModel(Latency(options.target), task)
    if model.predictor is None:
        raise SystemExit("run `nas latency warm` first")
    rows, end = [], perf_counter() + options.seconds
    with busy(options.loops):
        for arch in held_out(model, find_space(options.space), options.networks, options.seed):
            if perf_counter() > end:
                break
            rows.append(row(model, arch, direct=options.direct))
    table = pd.DataFrame(rows)
    found = quality(table) | {
        "fitted_on": len(model.fitted),
        "half_width_of_90_percent": model.predictor.high - 1,
        "bias": float((table["predicted_ms"] / table["latency_ms"] - 1).median()),
        "parts_not_in_the_cache": float(table["missed"].mean()),
        "prediction_ms": float(table["prediction_ms"].median()),
    }
    print(json.dumps(found, indent=2))


def held_out(model: LatencyModel, space: Space, networks: int, seed: int) -> list[Arch]:
    """Return random networks that were not fitted on."""
    rng, seen = Random(seed), {network.arch for network in model.networks}
    fresh: dict[Arch, None] = {}
    for _ in count():
        if len(fresh) == networks:
            break
        arch = space.sample(rng)
        if arch not in seen:
            fresh[arch] = None
    return list(fresh)


def row(model: LatencyModel, arch: Arch, *, direct: bool) -> dict[str, float]:
    """Predict `arch`, then measure it."""
    missed = sum(not model.knows(part) for part in arch.parts(model.task))
    model.predict(arch)  # measures parts that were never met
    start = perf_counter()
    found = model.predict(arch)
    spent = 1e3 * (perf_counter() - start)
    assert found is not None
    if direct:
        ms = directly(arch, model.task) * model.latency.reference().ms
    else:
        ms = next(iter(model.latency(arch, model.task))).metrics["latency_ms"]
    cost = arch.cost(model.task)
    ends = {"predicted_low_ms": found.low_ms, "predicted_high_ms": found.high_ms}
    about = {"params": cost.params, "macs": cost.macs, "missed": missed, "prediction_ms": spent}
    return {"latency_ms": ms, "predicted_ms": found.ms} | ends | about


def directly(arch: Arch, task: Task) -> float:
    """Return the latency over the reference's: the median of sessions' ratios of quickest runs."""
    ratios = []
    for _ in range(SESSIONS):
        pair = plain(arch, task), plain(REFERENCE, TASK)
        times: tuple[list[float], list[float]] = ([], [])
        for i in range(WARM_UPS + RUNS):
            for run, kept in zip(pair, times, strict=True):
                run()  # refills the caches
                start = perf_counter()
                run()
                if i >= WARM_UPS:
                    kept.append(perf_counter() - start)
        ratios.append(min(times[0]) / min(times[1]))
    return median(ratios)


def plain(arch: Arch, task: Task) -> Callable[[], object]:
    """Return what runs `arch` once in a session of its own."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    graph = program_of(arch, task, parse_target("cpu")).model
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).random((1, *task.shape), dtype=np.float32)
    feed = {session.get_inputs()[0].name: image}
    return lambda: session.run(None, feed)


if __name__ == "__main__":
    main()
