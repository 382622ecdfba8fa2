"""The figures of a report, as plotly figures without colours of the page: that sets its own ink.

Colours are those of Okabe and Ito (2008), which people who see colours differently can tell apart,
the blue a little lighter so that it reads on black too; shape says the same again.
"""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..columns import LATENCY, target_name
from ..pareto import hypervolume, non_dominated
from ..units import format_count
from .pictures import kinds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..pareto import Floats

BLUE, VERMILION, GREY = "#1f83c0", "#D55E00", "#8b929a"
GOALS = ("max", "min")
_STATES = {"complete": ("#56B4E9", "circle"), "stopped": (GREY, "triangle-down")}
_STATES["paused"] = ("#8b929a", "line-ns-open")
_STATES["infeasible"] = ("#E69F00", "x")
_GRID = "rgba(128,128,128,0.22)"
_HOVER = (
    "<b>%{customdata[0]}</b><br>%{customdata[1]}<br>accuracy %{y:.2%}<br>"
    "%{customdata[2]:.3s} parameters<br>%{customdata[3]:.3r} ms<extra>%{fullData.name}</extra>"
)


def accuracy_against(
    cost: str, trials: pd.DataFrame, front: pd.DataFrame, limit: float | None = None
) -> go.Figure:
    """Return accuracy over `cost`: trials faint, the front joined, with error bars where known."""
    figure = go.Figure()
    for state, (color, symbol) in _STATES.items():
        rows = trials[trials["state"] == state].dropna(subset=["accuracy", cost])
        marker = {"color": color, "symbol": symbol, "size": 7, "opacity": 0.5}
        if len(rows):
            figure.add_trace(_dots(rows, cost, "accuracy", f"trial, {state}", marker))
    rows = front.assign(final=front["test_accuracy"].fillna(front["accuracy"]))
    rows = rows.dropna(subset=["final", cost]).sort_values(cost)
    best = rows[rows["recommended"]]
    if len(rows):
        figure.add_trace(_front(rows, cost))
    if len(best):
        ring = {"color": VERMILION, "symbol": "circle-open", "size": 21, "line": {"width": 2.5}}
        figure.add_trace(_dots(best, cost, "final", "recommended", ring))
    costs = pd.concat([trials[cost], front[cost]]).dropna()
    if limit and len(costs) and limit <= 1.5 * costs.max():
        line = {"color": GREY, "dash": "dot"}
        figure.add_vline(limit, line=line, annotation={"text": "limit", "yref": "paper", "y": 0.04})
    figure.update_xaxes(title=_label(cost), **_scale(costs))
    figure.update_yaxes(title="accuracy", tickformat=".0%")
    return _styled(figure, 460)


def _label(cost: str) -> str:
    if cost == "params":
        return "parameters"
    name = target_name(cost.removesuffix(LATENCY))
    return f"latency on {escape(name)} (ms)" if name else "latency (ms)"


def _scale(values: pd.Series[float]) -> dict[str, Any]:
    """Return a linear axis, or a logarithmic one with round numbers for what spans decades."""
    if values.empty or values.min() <= 0 or values.max() < 20 * values.min():
        return {}
    ticks = [digit * 10.0**power for power in range(-3, 12) for digit in (1, 2, 5)]
    texts = [format_count(tick) if tick >= 1 else f"{tick:g}" for tick in ticks]
    return {"type": "log", "tickvals": ticks, "ticktext": texts}


def progress(trials: pd.DataFrame) -> go.Figure:
    """Return the best accuracy so far, and the share of the plane that the front dominates."""
    rows = trials.dropna(subset=["accuracy"])
    figure = make_subplots(2, 1, shared_xaxes=True, vertical_spacing=0.09, row_heights=[0.6, 0.4])
    marker = {"color": "#56B4E9", "size": 5, "opacity": 0.6}
    number = rows["number"]
    figure.add_scatter(x=number, y=rows["accuracy"], mode="markers", marker=marker, name="trial")
    step = {"width": 2.5, "shape": "hv"}
    best = rows["accuracy"].cummax()
    figure.add_scatter(
        x=number, y=best, name="best accuracy so far", mode="lines", line=step | {"color": BLUE}
    )
    share = dominated_share(rows[["accuracy", "latency_ms"]].to_numpy(dtype=float))
    line = step | {"color": VERMILION}
    figure.add_scatter(x=number, y=share, name="hypervolume", mode="lines", line=line, row=2, col=1)
    figure.update_xaxes(title="trial", row=2, col=1)
    figure.update_yaxes(title="accuracy", tickformat=".0%", row=1, col=1)
    figure.update_yaxes(title="hypervolume", tickformat=".0%", range=[0, 1.04], row=2, col=1)
    return _styled(figure, 480)


def dominated_share(points: Floats) -> list[float]:
    """Return after each (accuracy, latency) the dominated share of the box of all of them."""
    known = points[~np.isnan(points).any(axis=1)]
    if not len(known):
        return [0.0] * len(points)
    reference = np.array([known[:, 0].min(), known[:, 1].max()])
    box = float(np.ptp(known, axis=0).prod()) or 1.0
    front, shares = points[:0], []
    for point in points:
        front = np.vstack([front, point])
        front = front[non_dominated(front, GOALS)]
        shares.append(hypervolume(front, reference, GOALS) / box)
    return shares


def block_shares(
    trials: pd.DataFrame, front: pd.DataFrame, colors: Mapping[str, tuple[str, str]]
) -> go.Figure:
    """Return how often each kind of block was tried and how often the front has it."""
    figure = go.Figure()
    names = list(colors)[::-1]  # the first bar of a horizontal chart is the lowest
    groups = {"front": (front, ""), "all trials": (trials, "/")}
    for name, (frame, pattern) in groups.items():
        count = Counter(kind for arch in frame["arch"].dropna() for kind in kinds(arch))
        total = sum(count.values())
        if total:
            fill = {"color": [colors[kind][0] for kind in names], "pattern": {"shape": pattern}}
            share = [count[kind] / total for kind in names]
            label = f"{name} ({len(frame)}; {total} blocks)"
            figure.add_bar(
                x=share,
                y=names,
                orientation="h",
                name=label,
                marker=fill,
                text=[f"{s:.0%}" for s in share],
                textposition="outside",
                cliponaxis=False,
            )
    highest = max((max(bar.x) for bar in figure.data), default=1.0)
    room = [0, 1.15 * highest]  # for the text behind the longest bar
    figure.update_xaxes(title="share of blocks", tickformat=".0%", range=room)
    figure.update_layout(bargap=0.3, legend_traceorder="reversed")
    return _styled(figure, 170 + 52 * len(names))


def _front(rows: pd.DataFrame, cost: str) -> go.Scatter:
    marker = {"color": BLUE, "size": 8}
    tested = "trained to the end" if rows["test_accuracy"].notna().any() else "not tested yet"
    trace = _dots(rows, cost, "final", f"front, {tested}", marker)
    bars = {"color": BLUE, "thickness": 1.4, "width": 4}
    trace.update(mode="lines+markers", line={"color": BLUE, "width": 1.5})
    trace.update(error_y=bars | _bars(rows, "final", "test_accuracy"))
    if cost.endswith(LATENCY):
        trace.update(error_x=bars | _bars(rows, cost, cost))
    return trace


def _bars(rows: pd.DataFrame, value: str, prefix: str) -> dict[str, Any]:
    stem = prefix.removesuffix("_ms")
    unit = prefix[len(stem) :]
    above = (rows[f"{stem}_high{unit}"] - rows[value]).fillna(0)
    below = (rows[value] - rows[f"{stem}_low{unit}"]).fillna(0)
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below}


def _dots(rows: pd.DataFrame, x: str, y: str, name: str, marker: dict[str, Any]) -> go.Scatter:
    words = [escape(digest) for digest in rows["digest"]], [_summary(arch) for arch in rows["arch"]]
    details = list(zip(*words, rows["params"], rows["latency_ms"], strict=True))
    return go.Scatter(
        x=rows[x],
        y=rows[y],
        name=name,
        mode="markers",
        marker=marker,
        customdata=details,
        hovertemplate=_HOVER,
    )


def _summary(arch: str) -> str:
    count = Counter(kinds(arch))
    return escape(", ".join(f"{n} {kind}" for kind, n in count.items())) or "blocks unknown"


def _styled(figure: go.Figure, height: int) -> go.Figure:
    figure.update_layout(
        template=go.layout.Template(),
        height=height,
        margin={"l": 8, "r": 12, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hovermode="closest",
    )
    figure.update_xaxes(automargin=True, gridcolor=_GRID, zeroline=False, linecolor=_GRID)
    figure.update_yaxes(automargin=True, gridcolor=_GRID, zeroline=False, linecolor=_GRID)
    return figure
