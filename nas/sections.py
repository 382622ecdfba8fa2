"""The parts of a report, each a function that returns HTML; whatever was not measured is said so."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from . import plots
from .config import SearchConfig
from .pareto import ties
from .pictures import Colors, legend, picture
from .units import format_count, format_seconds

FAILURES_SHOWN = 100
_UNKNOWN = "–"
_UNITS = {"budget_latency": "ms", "budget_size": "B"}  # as the command line wants them
_HEADS = (
    "finalist",
    "test accuracy",
    "validation",
    "latency",
    "parameters",
    "MACs",
    "epochs",
    "seeds",
)


def header(run: Mapping[str, Any], trials: pd.DataFrame, front: pd.DataFrame, name: str) -> str:
    """Return the title, what was searched, and a warning if the run is not over."""
    task, config = run.get("task") or {}, run.get("config") or {}
    facts = [
        f"data: {config.get('data', 'unknown')}",
        f"images: {'×'.join(map(str, task.get('shape', '?')))}, {task.get('classes', '?')} classes",
        f"space: {run.get('space') or config.get('space') or 'unknown'}",
        f"target: {config.get('target', 'unknown')}",
        f"{len(trials)} candidates, {len(front)} finalists",
    ]
    if run.get("seconds"):
        facts.append(f"took {format_seconds(sum(run['seconds'].values()))}")
    status = str(run.get("status", "unknown"))
    note = f"This run is not complete (status: {escape(status)}), so figures may change."
    warning = "" if status == "complete" else f'<p class="note">{note}</p>'
    line = " · ".join(map(escape, facts))
    return f'<h1>Architecture search {escape(name)}</h1><p class="soft">{line}</p>{warning}'


def recommendation(
    run: Mapping[str, Any], front: pd.DataFrame, colors: Colors, directory: Path
) -> str:
    """Return the finalist to take, or why there is none."""
    chosen = front[front["recommended"]]
    if chosen.empty:
        why = "no finalist is marked" if len(front) else "no candidate was trained to the end"
        return f'<p class="note">There is no recommendation: {why}.</p>'
    best = chosen.iloc[0]
    images = (run.get("images") or {}).get("test")
    sample = f"{images:,} test images" if isinstance(images, int) else "the test images"
    accuracy = f"95 % interval {_accuracies(best)}, {sample}, {_seeds(best)}"
    figures = (
        ("test accuracy", _percent(best.test_accuracy), accuracy),
        ("latency", _ms(best.latency_ms), f"± {_ms(best.latency_spread_ms)}, {_latencies(best)}"),
        ("parameters", _count(best.params), f"{_count(best.macs)} multiply-adds"),
    )
    cells = (f"<div><dt>{n}</dt><dd>{v}<small>{d}</small></dd></div>" for n, v, d in figures)
    return (
        f'<section class="card"><h2><span class="star">★</span> Recommended: '
        f'<code>{escape(best.digest)}</code></h2><dl class="figures">{"".join(cells)}</dl>'
        f"{picture(best.arch, colors)}{legend(colors)}{_models(directory, best.digest)}</section>"
    )


def finalists(front: pd.DataFrame, colors: Colors) -> str:
    """Return the table of the finalists and their pictures."""
    if front.empty:
        return ""
    near = ties(front["latency_ms"], front["latency_low_ms"], front["latency_high_ms"])
    ends = front["test_accuracy_low"], front["test_accuracy_high"]
    close = ties(front["test_accuracy"], *ends)
    rows = [
        _row(member, bool(tied_ms), bool(tied))
        for member, tied_ms, tied in zip(front.itertuples(), near, close, strict=True)
    ]
    pictures = [
        f"<h3>{_name(member)}</h3>{picture(member.arch, colors)}<code>{escape(member.arch)}</code>"
        for member in front.itertuples()
    ]
    return (
        "<h2>Finalists</h2><p>Chosen by validation accuracy, then trained to the end; the test images "
        "were looked at once. Brackets are 95 % intervals. ≈ marks a tie: the interval overlaps with "
        "that of the next lower or higher value, so the order of the two is not settled. An interval of "
        "one seed says what other test images would change, not what another training would.</p>"
        f"{_table(_HEADS, rows, sort='latency')}<h2>Architectures</h2><p>A box is a block, as high as it "
        "is wide in channels; the number below is that width, ↓2 halves the map.</p>"
        f"{legend(colors)}{''.join(pictures)}"
    )


def figures(
    run: Mapping[str, Any], trials: pd.DataFrame, front: pd.DataFrame, colors: Colors
) -> str:
    """Return the figures that have something to show, plotly's script with the first."""
    if trials["accuracy"].isna().all() and front[["accuracy", "test_accuracy"]].isna().all(
        axis=None
    ):
        return '<p class="note">No accuracy was measured, so there is nothing to draw.</p>'
    config = run.get("config") or {}
    latency = plots.accuracy_against("latency_ms", trials, front, config.get("budget_latency"))
    params = plots.accuracy_against("params", trials, front, config.get("budget_params"))
    drawn = [
        ("Accuracy against latency", "Trials show validation accuracy after the short training of the "
         "search, finalists test accuracy after the long one; bars are 95 % intervals.", latency),
        ("Accuracy against parameters", "", params),
        ("Progress", "Hypervolume is the share of the rectangle between the worst and the best accuracy "
         "and latency seen that some trial dominates.", plots.progress(trials)),
        ("Blocks", "How often a kind of block was tried, and how often a finalist has it.",
         plots.block_shares(trials, front, colors)),
    ]  # fmt: skip
    script: bool = True
    parts = []
    for i, (title, caption, figure) in enumerate(drawn):
        if figure.data:
            options = {"displaylogo": False, "responsive": True}
            chart = figure.to_html(
                options, full_html=False, include_plotlyjs=script, div_id=f"figure{i}"
            )
            parts.append(f"<h2>{title}</h2><p>{caption}</p>{chart}")
            script = False
    return "".join(parts)


def failures(trials: pd.DataFrame) -> str:
    """Return how the trials ended, and why some failed or broke a limit."""
    if trials.empty:
        return '<p class="note">No trial is finished yet.</p>'
    counts = ", ".join(
        f"{n} {escape(state)}" for state, n in trials["state"].value_counts().items()
    )
    text = f"<h2>How the trials ended</h2><p>{counts}.</p>"
    bad = trials[trials["state"].isin(["failed", "infeasible"])]
    if bad.empty:
        return text
    rows = [
        f"<tr><td>{_whole(trial.number)}</td><td><code>{escape(trial.digest)}</code></td>"
        f"<td>{escape(trial.state)}</td><td>{escape(trial.reason)}</td></tr>"
        for trial in bad.head(FAILURES_SHOWN).itertuples()
    ]
    more = len(bad) - len(rows)
    rest = f"<p class='soft'>{more} more are in trials.csv.</p>" if more else ""
    table = _table(("trial", "digest", "state", "reason"), rows, kind="words")
    return f"{text}<details><summary>{len(bad)} reasons</summary>{table}{rest}</details>"


def settings(run: Mapping[str, Any]) -> str:
    """Return how to do it again, the options, the machine and the versions."""
    config = run.get("config") or {}
    commit = run.get("git_commit")
    state = f" The code was at commit <code>{escape(str(commit))}</code>." if commit else ""
    clock = " A search that stops by the clock tries more candidates on a faster machine."
    groups = {
        "Options": config,
        "Machine": run.get("machine") or {},
        "Versions": run.get("versions") or {},
        "Times": {k: format_seconds(v) for k, v in (run.get("seconds") or {}).items()}
        | {"started": run.get("started")},
    }
    lists = (f"<div><h3>{name}</h3>{_facts(facts)}</div>" for name, facts in groups.items())
    return (
        f"<h2>Do it again</h2><pre>{escape(command(config))}</pre><p>Seed {config.get('seed', 'unknown')}."
        f"{state}{clock if config.get('timeout') else ''}</p>"
        f'<h2>Settings</h2><div class="columns">{"".join(lists)}</div>'
    )


def command(config: Mapping[str, Any]) -> str:
    """Return the command line of `config`: what differs from the defaults, and the seed."""
    usual = SearchConfig().to_plain() | {"seed": None}
    words = ["nas", "search"]
    for name, value in config.items():
        if value is not None and value is not False and value != usual.get(name):
            words.append(f"--{name.replace('_', '-')}")
            words += [] if value is True else [f"{value}{_UNITS.get(name, '')}"]
    return shlex.join(words)


def _row(member: Any, tied_ms: bool, tied: bool) -> str:
    cells = (
        (member.digest, f"<code>{_name(member)}</code>"),
        (
            member.test_accuracy,
            f"{_tie(tied)}{_percent(member.test_accuracy)}<small>[{_accuracies(member)}]</small>",
        ),
        (member.accuracy, _percent(member.accuracy)),
        (
            member.latency_ms,
            f"{_tie(tied_ms)}{_ms(member.latency_ms)} ± {_ms(member.latency_spread_ms)}"
            f"<small>[{_latencies(member)}]</small>",
        ),
        (member.params, _count(member.params)),
        (member.macs, _count(member.macs)),
        (member.epochs, _whole(member.epochs)),
        (member.seeds, _whole(member.seeds)),
    )
    line = (f'<td data-key="{escape(str(key))}">{html}</td>' for key, html in cells)
    return f"<tr{' class=best' if member.recommended else ''}>{''.join(line)}</tr>"


def _table(heads: Iterable[str], rows: list[str], *, kind: str = "", sort: str = "") -> str:
    def cell(name: str) -> str:
        order = ' aria-sort="ascending"' if name == sort else ""
        return f"<th{order}>" + (f"<button>{name}</button>" if sort else name) + "</th>"

    top = "".join(map(cell, heads))
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{top}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _models(directory: Path, digest: str) -> str:
    """Return the finalist's files as links beside the report."""
    folder = directory / "models" / digest
    files = sorted(file.name for file in folder.glob("*") if file.is_file())
    links = (
        f'<a href="models/{escape(digest)}/{escape(name)}">{escape(name)}</a>' for name in files
    )
    listed = f": {', '.join(links)}" if files else " (not exported yet)"
    return f'<p class="soft">Files in <code>models/{escape(digest)}/</code>{listed}</p>'


def _facts(facts: Mapping[str, Any]) -> str:
    known = {name: value for name, value in facts.items() if value is not None}
    lines = (f"<dt>{escape(str(k))}</dt><dd>{escape(str(v))}</dd>" for k, v in known.items())
    return f'<dl class="facts">{"".join(lines)}</dl>' if known else "<p>unknown</p>"


def _name(member: Any) -> str:
    return ('<span class="star">★</span> ' if member.recommended else "") + escape(member.digest)


def _tie(tied: bool) -> str:
    return (
        '<abbr title="a tie: its interval overlaps with its neighbour\'s">≈</abbr> ' if tied else ""
    )


def _seeds(member: Any) -> str:
    return "1 seed" if member.seeds == 1 else f"{_whole(member.seeds)} seeds"


def _accuracies(member: Any) -> str:
    low, high = member.test_accuracy_low, member.test_accuracy_high
    return _UNKNOWN if pd.isna(low) else f"{100 * low:.1f} – {100 * high:.1f} %"


def _latencies(member: Any) -> str:
    low, high = member.latency_low_ms, member.latency_high_ms
    return _UNKNOWN if pd.isna(low) else f"{low:.3g} – {high:.3g} ms"


def _percent(value: float) -> str:
    return _UNKNOWN if pd.isna(value) else f"{100 * value:.1f} %"


def _ms(value: float) -> str:
    return _UNKNOWN if pd.isna(value) else f"{value:.3g} ms"


def _count(value: float) -> str:
    return _UNKNOWN if pd.isna(value) else format_count(value)


def _whole(value: float) -> str:
    return _UNKNOWN if pd.isna(value) else f"{value:.0f}"
