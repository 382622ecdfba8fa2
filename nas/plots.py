"""The figures of a report, as plotly figures without colours of the page: that sets its own ink.

Colours are those of Okabe and Ito (2008), which people who see colours differently can tell apart;
shape or a letter says the same again.
"""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .pareto import hypervolume, non_dominated
from .pictures import kinds
from .units import format_count

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from .pareto import Floats

BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#8b929a"
GOALS = ("max", "min")
_STATES = {"complete": ("#56B4E9", "circle"), "stopped": (GREY, "triangle-down")}
_STATES["infeasible"] = ("#E69F00", "x-thin-open")
_GRID = "rgba(128,128,128,0.22)"
_LABELS = {"latency_ms": "latency (ms)", "params": "parameters"}
_HOVER = (
    "<b>%{customdata[0]}</b><br>%{customdata[1]}<br>accuracy %{y:.2%}<br>%{customdata[2]} parameters"
    "<br>%{customdata[3]}<extra>%{fullData.name}</extra>"
)


def accuracy_against(
    cost: str, trials: pd.DataFrame, front: pd.DataFrame, limit: float | None = None
) -> go.Figure:
    """Return accuracy over `cost`: trials faint, finalists joined, with error bars where known."""
    figure = go.Figure()
    for state, (color, symbol) in _STATES.items():
        rows = trials[trials["state"] == state].dropna(subset=["accuracy", cost])
        if len(rows):
            marker = {"color": color, "symbol": symbol, "size": 7, "opacity": 0.5}
            figure.add_trace(_dots(rows, cost, "accuracy", f"trial, {state}", marker))
    rows = front.assign(final=front["test_accuracy"].fillna(front["accuracy"]))
    rows = rows.dropna(subset=["final", cost]).sort_values(cost)
    if len(rows):
        figure.add_trace(_finalists(rows, cost))
        best = rows[rows["recommended"]]
        marker = {"color": VERMILION, "symbol": "star", "size": 19, "line": {"width": 1}}
        marker["line"] |= {"color": "white"}
        figure.add_trace(_dots(best, cost, "final", "recommended", marker))
    highest = max(trials[cost].max(), front[cost].max(), 0)
    if limit and limit <= 1.5 * highest:
        note = {"annotation_text": "limit", "annotation_position": "bottom right"}
        figure.add_vline(limit, line={"color": GREY, "dash": "dot"}, **note)
    lowest = min(trials[cost].min(), front[cost].min())
    wide = lowest > 0 and highest > 20 * lowest
    figure.update_xaxes(title=_LABELS[cost], type="log" if wide else "linear")
    figure.update_yaxes(title="accuracy", tickformat=".0%")
    return _styled(figure, 460)


def progress(trials: pd.DataFrame) -> go.Figure:
    """Return the best accuracy so far, and the share of the plane that the front dominates."""
    rows = trials[trials["state"] == "complete"].dropna(subset=["accuracy"])
    figure = make_subplots(2, 1, shared_xaxes=True, vertical_spacing=0.09, row_heights=[0.6, 0.4])
    marker = {"color": "#56B4E9", "size": 5, "opacity": 0.6}
    number = rows["number"]
    figure.add_scatter(
        x=number, y=rows["accuracy"], mode="markers", marker=marker, name="trial, complete"
    )
    step = {"mode": "lines", "line": {"color": BLUE, "width": 2.5, "shape": "hv"}}
    best = rows["accuracy"].cummax()
    figure.add_scatter(x=number, y=best, name="best accuracy so far", **step)
    step["line"] = {"color": VERMILION, "width": 2.5, "shape": "hv"}
    share = dominated_share(rows[["accuracy", "latency_ms"]].to_numpy(dtype=float))
    figure.add_scatter(x=number, y=share, name="hypervolume", row=2, col=1, **step)
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
    """Return how often each kind of block was tried and how often a finalist has it."""
    figure = go.Figure()
    names = list(colors)[::-1]  # the first bar of a horizontal chart is the lowest
    groups = {"finalists": (front, ""), "all trials": (trials, "/")}
    for name, (frame, pattern) in groups.items():
        count = Counter(kind for arch in frame["arch"].dropna() for kind in kinds(arch))
        total = sum(count.values())
        if total:
            fill = {"color": [colors[kind][0] for kind in names], "pattern": {"shape": pattern}}
            fill["opacity"] = 0.55 if pattern else 1.0
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
    figure.update_xaxes(title="share of blocks", tickformat=".0%", rangemode="tozero")
    figure.update_layout(bargap=0.3, legend_traceorder="reversed")
    return _styled(figure, 170 + 52 * len(names))


def _finalists(rows: pd.DataFrame, cost: str) -> go.Scatter:
    marker = {"color": BLUE, "size": 11, "line": {"color": "white", "width": 1}}
    trace = _dots(rows, cost, "final", "finalist, trained to the end", marker)
    bars = {"color": BLUE, "thickness": 1.4, "width": 4}
    trace.update(mode="lines+markers", line={"color": BLUE, "width": 1.5})
    trace.update(error_y=bars | _bars(rows, "final", "test_accuracy"))
    if cost == "latency_ms":
        trace.update(error_x=bars | _bars(rows, "latency_ms", "latency_ms"))
    return trace


def _bars(rows: pd.DataFrame, value: str, prefix: str) -> dict[str, Any]:
    stem = prefix.removesuffix("_ms")
    unit = prefix[len(stem) :]
    above = (rows[f"{stem}_high{unit}"] - rows[value]).fillna(0)
    below = (rows[value] - rows[f"{stem}_low{unit}"]).fillna(0)
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below}


def _dots(rows: pd.DataFrame, x: str, y: str, name: str, marker: dict[str, Any]) -> go.Scatter:
    details = [
        (
            escape(str(row.digest)),
            escape(_summary(str(row.arch))),
            format_count(row.params) if row.params == row.params else "unknown",
            f"{row.latency_ms:.3g} ms" if row.latency_ms == row.latency_ms else "latency unknown",
        )
        for row in rows.itertuples()
    ]
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
    return ", ".join(f"{n} {kind}" for kind, n in count.items()) or "blocks unknown"


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
