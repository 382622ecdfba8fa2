"""Replay searches on tables of networks that are trained already: regret and hypervolume.

    python -m benchmarks.search_quality [--seeds N] [--out FILE.html] [--tables ...] [NAME ...]

Regret is the best accuracy of the table less the true accuracy of the candidate that looks best so
far, in points: `exact` with true accuracies as signals, `one run` with those of one training each.
`plain-tpe` and `plain-nsga2` are what a user of Optuna writes: a categorical for each gene,
repetitions failed.
Hypervolume is that of accuracy and latency, as a share of the whole table's. Means over seeds.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import cycle
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import optuna
import plotly.graph_objects as go

from nas.pareto import hypervolume
from nas.samplers import SAMPLERS, Problem
from nas.study import Study

from .tabular.problems import ACCURACY, LATENCY, TABLES, Table, table

QUERIES = 100
AT = (25, 50, 100)
FRONT_AT = (50, 100, 300)
GOALS = ("max", "min")
# whom a signal says nothing of, unless asked for by name: NSGA-II is for fronts, the others are not
UNFIT = {"exact": ("plain-nsga2",), "one run": ("plain-nsga2",), "front": ("deepest", "ridge")}
SLOW = ("gp",)  # takes minutes for what the others do in seconds
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8b929a", "#000")
PLAIN = {"plain-tpe": optuna.samplers.TPESampler, "plain-nsga2": optuna.samplers.NSGAIISampler}
STUCK = 20  # repetitions in a row after which a plain sampler draws at random
RIDGE = 50  # trained networks from which the ridge regression is learned


@dataclass(frozen=True)
class Run:
    """One search: on which table, by whom, for what, with which seed."""

    table: str
    searcher: str
    signal: str
    seed: int


@cache
def _everything(known: Table) -> tuple[list[str], list[int], np.ndarray]:
    """Return digests, MACs and features of all architectures of the table."""
    archs = list(known.space.enumerate())
    problem = Problem(known.space, known.task, (ACCURACY,))
    rows = np.array([problem.row(arch) for arch in archs])
    return (
        [arch.digest for arch in archs],
        [arch.cost(known.task).macs for arch in archs],
        np.column_stack([problem.genome.features(rows), np.ones(len(rows))]),
    )


def deepest(known: Table) -> list[str]:
    """Return digests, most MACs first."""
    names, macs, _ = _everything(known)
    return [names[i] for i in np.argsort(-np.array(macs), kind="stable")]


def ridge(known: Table, seed: int, signals: dict[str, float]) -> list[str]:
    """Return digests: 50 at random, then those that a ridge regression on them prefers."""
    names, _, x = _everything(known)
    first = np.random.default_rng(seed).permutation(len(names))[:RIDGE]
    y = np.array([signals[names[i]] for i in first])
    weights = np.linalg.solve(
        x[first].T @ x[first] + np.eye(x.shape[1]), x[first].T @ (y - y.mean())
    )
    rest = np.setdiff1d(np.argsort(-(x @ weights)), first, assume_unique=True)
    return [names[i] for i in [*first, *rest]]


def plain(known: Table, run: Run, accuracies: dict[str, float], count: int) -> list[str]:
    """Return the digests that Optuna's sampler asks for, each once; random ones if it is stuck."""
    sampler, random = PLAIN[run.searcher](seed=run.seed), optuna.samplers.RandomSampler(run.seed)
    directions = ["maximize", "minimize"][: 1 + (run.signal == "front")]
    study, queried, repeated = optuna.create_study(directions=directions), [], 0
    while len(queried) < count:
        study.sampler = sampler if repeated < STUCK else random
        trial = study.ask()
        digest = known.space.draw(trial.suggest_categorical).digest
        if digest in queried:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            repeated += 1
        else:
            study.tell(trial, (accuracies[digest], known.truth[digest][1])[: len(directions)])
            queried.append(digest)
            repeated = 0
    return queried


def digests(run: Run, known: Table, count: int) -> list[str]:
    """Return the digests that `run` queries, in their order."""
    signals = known.signals(run.seed) if run.signal == "one run" else None
    accuracies = signals or {d: a for d, (a, _) in known.truth.items()}
    if run.searcher == "deepest":
        return deepest(known)[:count]
    if run.searcher == "ridge":
        return ridge(known, run.seed, accuracies)[:count]
    if run.searcher in PLAIN:
        return plain(known, run, accuracies, count)
    objectives = (ACCURACY, LATENCY) if run.signal == "front" else (ACCURACY,)
    study = Study(known.space, known.task, objectives, sampler=run.searcher, seed=run.seed)
    queried = []
    while len(queried) < count and (candidate := study.ask()):
        digest = candidate.arch.digest
        figures = {"accuracy": accuracies[digest], "latency_ms": known.truth[digest][1]}
        study.tell(candidate, "complete", figures)
        queried.append(digest)
    return queried


def curve(run: Run) -> list[float]:
    """Return the regret, or the share of the hypervolume, after each query."""
    known = table(run.table)
    count = FRONT_AT[-1] if run.signal == "front" else QUERIES
    count = min(count, len(known.truth) // 2)  # then even chance finds the best
    queried = digests(run, known, count)
    if run.signal == "front":
        return _volumes(known, queried)
    signals = known.signals(run.seed) if run.signal == "one run" else None
    shown = np.array([signals[d] if signals else known.truth[d][0] for d in queried])
    true = np.array([known.truth[d][0] for d in queried])
    leader = [int(np.argmax(shown[: k + 1])) for k in range(len(queried))]
    best = max(accuracy for accuracy, _ in known.truth.values())
    return (best - true[leader]).tolist()


def _volumes(table: Table, queried: list[str]) -> list[float]:
    everything = np.array(list(table.truth.values()))
    corner = np.quantile(everything[:, 0], 0.05), everything[:, 1].max()
    whole = hypervolume(everything, corner, GOALS)
    points = np.array([table.truth[digest] for digest in queried])
    found = [hypervolume(points[: k + 1], corner, GOALS) for k in range(len(points))]
    return [float(volume / whole) for volume in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "searchers",
        nargs="*",
        metavar="NAME",
        help="samplers, plain-tpe, plain-nsga2, deepest, ridge",
    )
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--tables", nargs="*", default=list(TABLES))
    parser.add_argument("--signals", nargs="*", choices=list(UNFIT), default=list(UNFIT))
    parser.add_argument("--out", default="runs/search_quality.html")
    options = parser.parse_args()
    quick = [name for name in SAMPLERS if name not in SLOW]
    searchers = options.searchers or [*quick, *PLAIN, "deepest", "ridge"]
    print(f"means over {options.seeds} seeds, and half the width of their 95 % interval")
    figures = []
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        for known in options.tables:
            for signal in options.signals:
                names = options.searchers or [n for n in searchers if n not in UNFIT[signal]]
                curves = {}
                for name in names:
                    runs = [Run(known, name, signal, seed) for seed in range(options.seeds)]
                    curves[name] = np.array(list(pool.map(curve, runs)))
                title = f"{known}, {signal}"
                show(title, curves, FRONT_AT if signal == "front" else AT)
                figures.append(picture(title, curves, signal))
    write(figures, options.out)


def show(title: str, curves: dict[str, np.ndarray], at: tuple[int, ...]) -> None:
    """Print a row for each searcher: its mean after some numbers of queries."""
    print(f"\n{title:24s}" + "".join(f"{f'after {k}':>20s}" for k in at))
    for name, values in curves.items():
        shown = []
        for k in at:
            last = values[:, min(k, values.shape[1]) - 1]
            half = 1.96 * last.std() / np.sqrt(len(last))
            shown.append(f"{last.mean():.3f} ± {half:.3f}")
        print(f"{name:24s}" + "".join(f"{text:>20s}" for text in shown), flush=True)


def picture(title: str, curves: dict[str, np.ndarray], signal: str) -> go.Figure:
    """Return the means over queries, with bands from the first to the third quartile."""
    figure = go.Figure()
    for (name, values), color in zip(curves.items(), cycle(COLORS)):
        x = np.arange(1, values.shape[1] + 1)
        low, high = np.quantile(values, (0.25, 0.75), axis=0)
        band = {"fill": "toself", "fillcolor": color, "opacity": 0.15, "line": {"width": 0}}
        edges = np.concatenate([x, x[::-1]]), np.concatenate([high, low[::-1]])
        figure.add_scatter(x=edges[0], y=edges[1], **band, hoverinfo="skip", showlegend=False)
        figure.add_scatter(x=x, y=values.mean(axis=0), name=name, line={"color": color})
    y = "share of the hypervolume" if signal == "front" else "regret, points"
    kind = "linear" if signal == "front" else "log"
    figure.update_layout(title=title, xaxis_title="queries", yaxis={"title": y, "type": kind})
    return figure


def write(figures: list[go.Figure], path: str) -> None:
    """Write all figures into one page."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    parts = [f.to_html(full_html=False, include_plotlyjs=i == 0) for i, f in enumerate(figures)]
    Path(path).write_text("\n".join(parts), encoding="utf-8")
    print(f"\npictures: {path}")


if __name__ == "__main__":
    main()
