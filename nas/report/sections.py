"""The parts of a report: functions that return HTML and say what is unknown."""

from __future__ import annotations

import shlex
from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..columns import LATENCY, prefixes, target_name
from ..config import SearchConfig
from ..spent import Account
from ..units import format_seconds
from . import plots
from .pictures import Colors, legend, picture
from .wording import (
    UNKNOWN,
    accuracies,
    count,
    latencies,
    latency,
    members,
    name,
    percent,
    seeds,
    spread,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_OPTIONS = {"displayModeBar": False, "responsive": True}
_SCATTER = (
    "Trials show validation accuracy after the short training of the search; members of the front "
    "show test accuracy after the long one, once there is any. Bars are the table's intervals."
)
_PROGRESS = (
    "Hypervolume is the share of the rectangle between the worst and the best accuracy and latency "
    "seen that some trial dominates."
)
_BLOCKS = "How often a kind of block was tried, and how often the front has it."
_UNITS = {"budget_latency": "ms", "budget_size": "B"}  # as the command line wants them


def header(run: Mapping[str, Any], trials: pd.DataFrame, front: pd.DataFrame, title: str) -> str:
    """Return the title, what was searched, and a warning if the run is not over."""
    task, config = run.get("task") or {}, run.get("config") or {}
    shape = " x ".join(map(str, task.get("shape", "?")))
    facts = [
        f"data: {config.get('data', 'unknown')}",
        f"images: {shape}, {task.get('classes', '?')} classes",
        f"space: {run.get('space') or config.get('space') or 'unknown'}",
        f"target: {_target(config.get('target', 'unknown'))}",
        f"{len(trials)} candidates, {len(front)} on the front",
    ]
    if run.get("seconds"):
        facts.append(f"took {format_seconds(sum(run['seconds'].values()))}")
    status = str(run.get("status", "unknown"))
    note = f"This run is not complete (status: {escape(status)}), so figures may change."
    warning = "" if status == "complete" else f'<p class="note">{note}</p>'
    line = " · ".join(map(escape, facts))
    return f'<h1>Architecture search {escape(title)}</h1><p class="soft">{line}</p>{warning}'


def recommendation(front: pd.DataFrame, colors: Colors, directory: Path) -> str:
    """Return the architecture to take, or why there is none."""
    chosen = front[front["recommended"]]
    if chosen.empty:
        why = "no architecture is marked" if len(front) else "no candidate has been evaluated"
        return f'<p class="note">There is no recommendation: {why}.</p>'
    best = chosen.iloc[0]
    sample = "" if pd.isna(best.test_images) else f"{best.test_images:,.0f} test images, "
    every = spread(best, "test_accuracy")
    repeats = f" (mean {every})" if every else ""
    interval = f"95&nbsp;% interval {accuracies(best)}<br>{sample}{seeds(best)}{repeats}"
    accuracy = ("test accuracy", percent(best.test_accuracy), interval)
    if pd.isna(best.test_accuracy):
        short = "after the short training of the search; not tested yet"
        accuracy = ("validation accuracy", percent(best.accuracy), short)
    figures = (
        accuracy,
        ("latency", latency(best), f"interval {latencies(best)}"),
        ("parameters", count(best.params), f"{count(best.macs)} multiply-adds"),
    )
    cells = (f"<div><dt>{n}</dt><dd>{v}<small>{d}</small></dd></div>" for n, v, d in figures)
    return (
        f'<section class="card"><h2><span class="star">★</span> Recommended: '
        f'<code>{escape(best.digest)}</code></h2><dl class="figures">{"".join(cells)}</dl>'
        f"{picture(best.arch, colors)}{legend(colors)}{_models(directory, best.digest)}</section>"
    )


def figures(
    run: Mapping[str, Any], trials: pd.DataFrame, front: pd.DataFrame, colors: Colors
) -> str:
    """Return the figures that have something to show, plotly's script with the first."""
    known = [trials["accuracy"], front["accuracy"], front["test_accuracy"]]
    if pd.concat(known).isna().all():
        return '<p class="note">No accuracy was measured, so there is nothing to draw.</p>'
    config = run.get("config") or {}
    limits = {target["column"]: target.get("limit_ms") for target in run.get("targets") or ()}
    limit = limits.get(LATENCY, config.get("budget_latency"))
    latency = plots.accuracy_against(LATENCY, trials, front, limit)
    elsewhere = {
        f"Accuracy against latency on {target_name(prefix)}": (
            plots.accuracy_against(prefix + LATENCY, trials, front, limits.get(prefix + LATENCY)),
            "",
        )
        for prefix in prefixes(front.columns)
        if prefix + LATENCY in trials
    }
    params = plots.accuracy_against("params", trials, front, config.get("budget_params"))
    drawn = {
        "Accuracy against latency": (latency, _SCATTER),
        **elsewhere,
        "Accuracy against parameters": (params, ""),
        "Progress of the search": (plots.progress(trials), _PROGRESS),
        "Blocks": (plots.block_shares(trials, front, colors), _BLOCKS),
    }
    parts: list[str] = []
    for title, (figure, text) in drawn.items():
        if any(len(trace.x) for trace in figure.data):
            anchor, first = title.replace(" ", "-").lower(), not parts
            chart = figure.to_html(_OPTIONS, full_html=False, include_plotlyjs=first, div_id=anchor)
            parts.append(f"<h2>{title}</h2><p>{text}</p>{chart}")
    return "".join(parts)


def gallery(front: pd.DataFrame, colors: Colors) -> str:
    """Return a picture of each member of the front."""
    if front.empty:
        return ""
    pictures = [
        f"<h3>{name(member)}</h3>{picture(member.arch, colors)}<code>{escape(member.arch)}</code>"
        for member in members(front)
    ]
    text = (
        "A box is a block, as high as it is wide in channels. Below each stage is that width; "
        "↓2 marks a stage that halves the map."
    )
    return f"<h2>Architectures</h2><p>{text}</p>{legend(colors)}{''.join(pictures)}"


def settings(run: Mapping[str, Any]) -> str:
    """Return how to do it again, the options, the machine, the versions and the times."""
    config, machine = run.get("config") or {}, dict(run.get("machine") or {})
    if isinstance(machine.get("memory_bytes"), int):
        machine["memory"] = f"{machine.pop('memory_bytes') / 2**30:.1f} GiB"
    times = {phase: format_seconds(value) for phase, value in (run.get("seconds") or {}).items()}
    account = Account.of_run(run)
    spent = f"<h2>Where the time went</h2><p>{escape(str(account))}.</p>" if account.workers else ""
    groups = {
        "Options": config,
        "Machine": machine,
        "Versions": run.get("versions") or {},
        "Times": {"started": run.get("started")} | times,
    }
    lists = "".join(
        f"<div><h3>{title}</h3>{_facts(facts)}</div>" for title, facts in groups.items()
    )
    notes = [f"Seed {escape(str(config.get('seed', UNKNOWN)))}."]
    if run.get("git_commit"):
        notes.append(f"The code was at commit <code>{escape(str(run['git_commit']))}</code>.")
    if config.get("timeout"):
        notes.append("A search that stops by the clock tries more candidates on a faster machine.")
    return (
        f"{spent}<h2>Do it again</h2><pre>{escape(command(config))}</pre><p>{' '.join(notes)}</p>"
        f'<h2>Settings</h2><div class="columns">{lists}</div>'
    )


def command(config: Mapping[str, Any]) -> str:
    """Return the command line of `config`: what differs from the defaults, and the seed."""
    usual = SearchConfig().to_plain() | {"seed": None}
    if config.get("trials") is not None:
        usual["timeout"] = None  # so it is on the command line
    words = ["nas", "search"]
    for option, value in config.items():
        if value is not None and value is not False and value != usual.get(option):
            flag, unit = f"--{option.replace('_', '-')}", _UNITS.get(option, "")
            if isinstance(value, dict):  # by target
                value = [f"{name}={each}" if name else each for name, each in value.items()]
            for each in value if isinstance(value, (list, tuple)) else [value]:
                words += [flag] if each is True else [flag, f"{each}{unit}"]
    return shlex.join(words)


def _target(given: str | list[str]) -> str:
    return given if isinstance(given, str) else ", ".join(given)


def _models(directory: Path, digest: str) -> str:
    """Return a model's files as links beside the report."""
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
