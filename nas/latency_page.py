"""The page of `nas latency report`: predictions, MACs, and where one network's time goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.io import to_html
from plotly.subplots import make_subplots

from .files import write_text
from .latency import LatencyReportError, quality
from .report.plots import BLUE, GREY, VERMILION

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from search_spaces.arch import Arch


def write_page(
    path: Path, table: pd.DataFrame, arch: Arch, parts: pd.DataFrame, title: str
) -> None:
    """Write one HTML file that needs no network.

    Args:
        path: of the file.
        arch: the network whose parts are shown.
        table: what `predictions` returns.
        parts: what `breakdown` returns.
        title: of the page.

    Raises:
        LatencyReportError: the file cannot be written.
    """
    found = quality(table)
    figure = make_subplots(
        rows=3,
        cols=1,
        vertical_spacing=0.1,
        subplot_titles=(
            f"Predicted by a correction that has not seen the network: "
            f"{found['within_5_percent']:.0%} within 5 %, "
            f"{found['within_10_percent']:.0%} within 10 %, "
            f"Kendall tau {found['kendall_predicted']:.3f} (n = {len(table)})",
            f"MACs are only an indirect measure: Spearman {found['spearman_macs']:.2f}, "
            f"Kendall tau {found['kendall_macs']:.2f}",
            f"Where the time of {arch.digest} goes: its parts, each by itself, together "
            f"{parts['latency_ms'].sum():.3g} ms",
        ),
    )
    figure.add_trace(_predicted(table), 1, 1)
    ends = [table["latency_ms"].min(), table["latency_ms"].max()]
    line = {"color": GREY, "dash": "dot"}
    figure.add_trace(go.Scatter(x=ends, y=ends, mode="lines", line=line, showlegend=False), 1, 1)
    figure.add_trace(_against_macs(table), 2, 1)
    bars = go.Bar(
        x=parts["part"] + "<br>" + parts["kind"],
        y=parts["latency_ms"],
        customdata=parts[["macs"]],
        marker={"color": VERMILION},
        hovertemplate="%{x}<br>%{y:.4f} ms, %{customdata[0]:.3s} MACs<extra/>",
        showlegend=False,
    )
    figure.add_trace(bars, 3, 1)
    for row, (x, y) in enumerate(
        (("predicted (ms)", "measured (ms)"), ("MACs", "measured (ms)"), ("part", "latency (ms)")),
        1,
    ):
        figure.update_xaxes(title=x, row=row, col=1)
        figure.update_yaxes(title=y, row=row, col=1)
    figure.update_layout(title=title, height=1400, template="plotly_white")
    if path.is_dir():
        raise LatencyReportError(f"{path} cannot be written: it is a folder")
    try:
        write_text(path, to_html(figure, include_plotlyjs=True))
    except OSError as error:
        raise LatencyReportError(f"{path} cannot be written: {error.strerror}") from None


def _predicted(table: pd.DataFrame) -> go.Scatter:
    return go.Scatter(
        x=table["predicted_ms"],
        y=table["latency_ms"],
        error_x=_bars(table, "predicted"),
        error_y=_bars(table, "latency"),
        text=table["arch"],
        mode="markers",
        marker={"color": BLUE},
        showlegend=False,
    )


def _against_macs(table: pd.DataFrame) -> go.Scatter:
    return go.Scatter(
        x=table["macs"],
        y=table["latency_ms"],
        error_y=_bars(table, "latency"),
        text=table["arch"],
        mode="markers",
        marker={"color": BLUE},
        showlegend=False,
    )


def _bars(table: pd.DataFrame, name: str) -> dict[str, object]:
    value = table[f"{name}_ms"]
    return {
        "type": "data",
        "array": table[f"{name}_high_ms"] - value,
        "arrayminus": value - table[f"{name}_low_ms"],
        "thickness": 1,
        "color": GREY,
    }
