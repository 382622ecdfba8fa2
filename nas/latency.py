"""`nas latency`: fill the cache that predictions rest on, and show how good they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from evaluators.child import Child
from evaluators.latency_predictor import FEWEST
from evaluators.warming import warm
from search_spaces.errors import NasError

if TYPE_CHECKING:
    from rich.console import Console

    from evaluators.latency_model import LatencyModel
    from search_spaces.arch import Arch
    from search_spaces.space import Space

Row = dict[str, Any]


class LatencyReportError(NasError, ValueError):
    """A report on predictions that have nothing to rest on."""


def fill(
    model: LatencyModel, space: Space, console: Console, *, networks: int, seconds: float, seed: int
) -> Row:
    """Measure what predictions for `space` need; return what there is now, as plain values."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    state, child = {"networks": (0, networks), "parts": (0, 0)}, Child()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks = {kind: bars.add_task(kind, total=None) for kind in state}
        for step in warm(model, space, child, networks=networks, seconds=seconds, seed=seed):
            state[step.kind] = (step.done, step.total)
            bars.update(tasks[step.kind], completed=step.done, total=step.total)
    return {
        "space": space.name,
        "target": model.latency.target,
        "cache": str(model.latency.cache),
        **{kind: {"done": done, "total": total} for kind, (done, total) in state.items()},
        "usable": len(model.fitted),
        "complete": all(done == total for done, total in state.values()),
    }


def predictions(model: LatencyModel) -> pd.DataFrame:
    """Return each network that was measured end to end, with what was predicted without it.

    Columns: `arch`, `macs`, `params`, `latency_ms` and its interval, `predicted_ms` and its
    interval.

    Raises:
        LatencyReportError: too few networks were measured.
    """
    predictor = model.predictor
    if predictor is None:
        raise LatencyReportError(
            f"predictions need {FEWEST} networks measured with all of their parts, but there are "
            f"{len(model.fitted)} for {model.task} on {model.latency.target}: `nas latency warm`"
        )
    rows = []
    for (arch, timing), ms in zip(model.fitted, predictor.predicted, strict=True):
        cost = arch.cost(model.task)
        measured = dict(
            zip(("latency_ms", "latency_low_ms", "latency_high_ms"), timing, strict=True)
        )
        ends = {"predicted_low_ms": predictor.low * ms, "predicted_high_ms": predictor.high * ms}
        rows.append(
            {"arch": str(arch), "params": cost.params, "macs": cost.macs, **measured}
            | {"predicted_ms": ms, **ends}
        )
    return pd.DataFrame(rows)


def quality(table: pd.DataFrame) -> dict[str, float]:
    """Return how good predictions are, and how well MACs and parameters rank latencies instead."""
    truth, guess = table["latency_ms"], table["predicted_ms"]
    error = np.abs(guess / truth - 1)
    inside = (table["predicted_low_ms"] <= truth) & (truth <= table["predicted_high_ms"])
    return {
        "networks": float(len(table)),
        "median_error": float(error.median()),
        "within_5_percent": float((error <= 0.05).mean()),
        "within_10_percent": float((error <= 0.10).mean()),
        "coverage_of_90_percent": float(inside.mean()),
        "kendall_predicted": kendall(guess, truth),
        "kendall_macs": kendall(table["macs"], truth),
        "kendall_params": kendall(table["params"], truth),
        "spearman_macs": float(table["macs"].rank().corr(truth.rank())),
        "spearman_predicted": float(guess.rank().corr(truth.rank())),
    }


def kendall(first: pd.Series[float], second: pd.Series[float]) -> float:
    """Return Kendall's tau-b: the surplus of pairs that both order alike."""
    a, b = (
        np.sign(np.subtract.outer(s.to_numpy(float), s.to_numpy(float))) for s in (first, second)
    )
    return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))


def breakdown(model: LatencyModel, arch: Arch) -> pd.DataFrame:
    """Return each part of `arch` with its kind, its own latency and its MACs.

    Raises:
        CandidateError: the runtime refuses a part that was not measured before.
    """
    rows = [
        {
            "part": part.name,
            "kind": type(part.spec).__name__,
            "latency_ms": model.part_ms(part),
            "macs": part.cost.macs,
        }
        for part in arch.parts(model.task)
    ]
    return pd.DataFrame(rows)
