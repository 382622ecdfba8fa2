"""A search as seen on a terminal."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .columns import of_target, prefixes, target_name
from .console import console_for
from .lines import Lines
from .pareto import ties
from .tally import Tally, figures
from .units import format_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd

    from .progress import Progress
    from .searching import Result

_MARKS = {
    "complete": "[green]✓[/]",
    "stopped": "[dim]·[/]",
    "paused": "[dim]‖[/]",
    "infeasible": "[yellow]↷[/]",
    "screened": "[yellow]↷[/]",
}


@contextmanager
def live_progress(console: Console) -> Iterator[Progress]:
    """Yield a progress that draws itself on a terminal; elsewhere it writes lines on stderr."""
    if not console.is_terminal:
        stderr = console_for(stderr=True)
        yield Lines(partial(stderr.print, markup=False, highlight=False, soft_wrap=True))
        return
    progress = _Live(console)
    with progress.live:
        try:
            yield progress
        finally:
            progress.finished()


class _Live(Tally):
    """Two parts: lines that scroll by for what has ended, a table of what is under way."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._under_way: dict[str, tuple[str, Mapping[str, float]]] = {}
        # Last, for it draws at once.
        self.live = Live(console=console, get_renderable=self._render, refresh_per_second=4)

    def finished(self) -> None:
        self._under_way = {}

    def phase(self, name: str) -> None:
        super().phase(name)
        self._under_way = {}
        self.live.console.rule(f"[bold]{name}", align="left")

    def stage(self, label: str, stage: str, metrics: Mapping[str, float]) -> None:
        self._under_way[label] = stage, metrics

    def ended(self, label: str, outcome: str, metrics: Mapping[str, float], reason: str) -> None:
        self.count(label, metrics)
        self._under_way.pop(label, None)
        mark = _MARKS.get(outcome, "[red]✗[/]")
        self.live.console.print(f"{mark} {label:>12}  {outcome:<10}", figures(metrics), reason)

    def note(self, text: str) -> None:
        self.live.console.print(text, style="yellow")

    def _render(self) -> Group:
        table = Table(box=None, show_header=False, pad_edge=False)
        for label, (stage, metrics) in list(self._under_way.items()):
            table.add_row(f"  {label:>12}", f"{stage:<12}", figures(metrics))
        return Group(Text(self.so_far(), style="bold"), table)


def print_result(result: Result, console: Console) -> None:
    """Print the front and where its files are."""
    if result.pareto.empty:
        why = "; trials.csv says why" if len(result.trials) else " so far"
        console.print(f"No candidate could be kept{why}.", style="yellow")
        _print_reasons(result, console)
    else:
        console.print(_front_table(result))
        console.print(
            "★ recommended: nearest to the knee, within 1 point of the most accurate", style="dim"
        )
        if result.pareto["accuracy_sd"].notna().any():
            console.print("validation: mean ± standard deviation over the seeds", style="dim")
        _explain_flags(table_to_plain(result.pareto), console)
    trained = result.pareto["test_accuracy"].notna().any()
    console.print(f"Time: {result.account}", soft_wrap=True)
    console.print(f"Report: {result.directory / 'report.html'}", soft_wrap=True)
    if trained:
        models = result.directory / "models" / str(result.recommended)
        console.print(f"Models: {models}", soft_wrap=True)


def _print_reasons(result: Result, console: Console) -> None:
    for reason in result.trials["reason"].dropna().unique()[:3]:
        console.print(f"  {reason}", style="dim")


def _front_table(result: Result) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("")
    table.add_column("digest")
    front = result.pareto
    repeated = bool((front["seeds"] > 1).any())
    last = "seeds" if repeated else "epochs"
    others = prefixes(front.columns)
    on = [f"{target_name(prefix)}, ms" for prefix in others]
    for column in ("params", "MACs", "latency, ms", *on, "validation", "test (95 %)", last):
        table.add_column(column, justify="right")
    near = ties(front["latency_ms"], front["latency_low_ms"], front["latency_high_ms"])
    elsewhere = [table_to_plain(of_target(front, prefix)) for prefix in others]
    for index, (row, tied) in enumerate(zip(table_to_plain(front), near, strict=True)):
        params, macs, latency, test, epochs = _measured(row)
        latency = f"≈ {latency}" if tied else latency
        style = "bold" if row["recommended"] else ""
        there = [_latency(rows[index]) for rows in elsewhere]
        last = f"{row['seeds']:.0f}" if repeated else epochs
        cells = params, macs, latency, *there, _validation(row), test, last
        table.add_row("★" if row["recommended"] else "", row["digest"], *cells, style=style)
    return table


def _validation(row: dict[str, Any]) -> str:
    if row["accuracy_sd"] is None:
        return f"{row['accuracy']:.2%}"
    return f"{100 * row['accuracy_mean']:.1f} ± {row['accuracy_sd']:.1%}"


def _test(row: dict[str, Any]) -> str:
    if row["test_accuracy"] is None:
        return "-"
    low, high = row["test_accuracy_low"], row["test_accuracy_high"]
    return f"{row['test_accuracy']:.1%} ({100 * low:.1f}-{100 * high:.1f})"


def result_to_plain(result: Result) -> dict[str, Any]:
    """Return a result as JSON can hold it; what was not measured is null."""
    return {
        "directory": str(result.directory),
        "status": result.status,
        "recommended": result.recommended,
        "trials": len(result.trials),
        "spent": asdict(result.account),
        "pareto": table_to_plain(result.pareto),
    }


def table_to_plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows as JSON can hold them; what was not measured is null."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]


def print_baselines(table: pd.DataFrame, console: Console) -> None:
    """Print the table of the published networks, and below it what would not fit in 80 columns."""
    shown = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False, pad_edge=False)
    shown.add_column("network", no_wrap=True)
    for column in ("params", "MACs", "latency, ms", "test (95 %)", "epochs", "ImageNet %"):
        shown.add_column(column, justify="right", no_wrap=True)
    sources: dict[str, list[str]] = {}
    rows = table_to_plain(table)
    for row in rows:
        done = not row.get("reason") and row.get("latency_ms") is not None
        cells = _measured(row) if done else ["-"] * 5
        published = f"{format_count(row['imagenet_params'])}: {row['imagenet_top1']:.1f}"
        shown.add_row(row["network"], *cells, published)
        sources.setdefault(row["imagenet_source"], []).append(row["network"])
    console.print(shown)
    for row in rows:
        if row.get("reason"):
            console.print(f"{row['network']}: {row['reason']}", style="yellow")
    _explain_flags(rows, console)
    console.print("ImageNet: the published network's parameters and top-1, by:", style="dim")
    for source, names in sources.items():
        console.print(f"  {source}: {', '.join(names)}", style="dim")


def _explain_flags(rows: list[dict[str, Any]], console: Console) -> None:
    if any(row.get("latency_flagged") for row in rows):
        reason = "interval wider than the tolerance, or of too few rounds"
        console.print(f"! a noisy machine: {reason}", style="yellow")


def _measured(row: dict[str, Any]) -> list[str]:
    return [
        format_count(row["params"]),
        format_count(row["macs"]),
        _latency(row),
        _test(row),
        f"{row['epochs']:.0f}",
    ]


def _latency(row: dict[str, Any]) -> str:
    flag = "!" if row["latency_flagged"] else ""
    spread = (row["latency_high_ms"] - row["latency_low_ms"]) / 2 / row["latency_ms"]
    return f"{row['latency_ms']:.3g} ± {spread:.{0 if spread >= 0.0995 else 1}%}{flag}"
