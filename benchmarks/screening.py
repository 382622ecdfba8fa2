"""What a screen by a training-free score saves: searches replayed on the table of trained networks.

    python -m benchmarks.screening [--seeds N] [--proxy NAME]

Who is screened costs no query; otherwise as `search_quality`. Minutes on two cores.
"""

from __future__ import annotations

import argparse
import random
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import product
from multiprocessing import get_context

import numpy as np
import torch

from evaluators.proxy import first_batch, score
from nas.sieve import SAMPLE
from nas.study import Study
from search_spaces.network import build

from .search_quality import QUERIES, _volumes, show
from .tabular.make import images
from .tabular.problems import ACCURACY, LATENCY, table

SHARES = (0.0, 1 / 3, 0.5, 0.8)
Scores = dict[str, float]
Run = tuple[str, str, float, int, Scores]  # sampler, signal, share, seed, scores


@cache
def scores(proxy: str) -> Scores:
    """Return the score of each architecture by digest."""
    known, batch = table("trained"), first_batch(images())
    archs = known.space.enumerate()
    return {a.digest: score(proxy, build(a, known.task), batch) for a in archs}


def queried(run: Run) -> list[str]:
    """Return the digests that are trained, in their order."""
    sampler, signal, share, seed, known_scores = run
    known, queries = table("trained"), []
    truth = known.truth
    accuracies = (
        known.signals(seed) if signal == "one run" else {d: a for d, (a, _) in truth.items()}
    )
    objectives = (ACCURACY, LATENCY) if signal == "front" else (ACCURACY,)
    study = Study(known.space, known.task, objectives, sampler=sampler, seed=seed)
    rng = random.Random(seed)
    sample = [known_scores[known.space.sample(rng).digest] for _ in range(SAMPLE)]
    limit = float(np.quantile(sample, share, method="lower")) if share else -np.inf
    while len(queries) < QUERIES and (candidate := study.ask()):
        digest = candidate.arch.digest
        over = {"score": limit - known_scores[digest]} if share else {}
        if known_scores[digest] < limit:
            study.tell(candidate, "screened", {}, constraints=over)
            continue
        figures = {"accuracy": accuracies[digest], "latency_ms": truth[digest][1]}
        study.tell(candidate, "complete", figures, constraints=over)
        queries.append(digest)
    return queries


def curve(run: Run) -> np.ndarray:
    """Return the regret, or the share of the hypervolume, after each query."""
    known, names = table("trained"), queried(run)
    if run[1] == "front":
        found = np.array(_volumes(known, names))
    else:
        true = np.array([known.truth[d][0] for d in names])
        signals = known.signals(run[3])
        shown = np.array([signals[d] for d in names]) if run[1] == "one run" else true
        leader = [int(np.argmax(shown[: k + 1])) for k in range(len(names))]
        found = max(a for a, _ in known.truth.values()) - true[leader]
    return np.pad(found, (0, QUERIES - len(found)), mode="edge")  # nobody else passes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=16)
    parser.add_argument("--proxy", default="snip")
    options = parser.parse_args()
    torch.set_num_threads(1)
    known_scores = scores(options.proxy)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for signal in ("exact", "one run", "front"):
            curves = {}
            for sampler, share in product(("auto", "random"), SHARES):
                runs = [(sampler, signal, share, s, known_scores) for s in range(options.seeds)]
                curves[f"{sampler}, {share:.2f}"] = np.array(list(pool.map(curve, runs)))
            show(signal, curves, (5, 10, 20, 50, 100))


if __name__ == "__main__":
    main()
