"""The tables of a report: the front and the failures."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..columns import of_target, prefixes, target_name
from ..pareto import ties
from .wording import (
    accuracies,
    count,
    latencies,
    latency,
    members,
    name,
    percent,
    spread,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

FAILURES_SHOWN = 100
_HEADS = (
    "architecture",
    "test accuracy",
    "validation",
    "latency",
    "parameters",
    "MACs",
    "epochs",
    "seeds",
)


def front_table(front: pd.DataFrame) -> str:
    """Return the table of the front."""
    if front.empty:
        return ""
    near = ties(front["latency_ms"], front["latency_low_ms"], front["latency_high_ms"])
    ends = front["test_accuracy_low"], front["test_accuracy_high"]
    close = ties(front["test_accuracy"], *ends)
    shifts = bool(front["unshifted_share"].notna().any())
    others = prefixes(front.columns)
    elsewhere = zip(*(members(of_target(front, prefix)) for prefix in others), strict=True)
    there: Iterable[tuple[Any, ...]] = elsewhere if others else [()] * len(front)
    rows = [
        _row(member, bool(tied_ms), bool(tied), shifts, more)
        for member, tied_ms, tied, more in zip(members(front), near, close, there, strict=True)
    ]
    state = (
        "None of them is trained to the end yet. " if front["test_accuracy"].isna().all() else ""
    )
    text = (
        "What no other one beats in validation accuracy and latency at once. The recommended one "
        "is chosen by these two as well, so that test accuracy stays honest. Brackets are "
        "intervals of 95&nbsp;%. ≈ marks a tie: the interval overlaps with that of the next lower "
        "or higher value, so the order of the two is not settled. ! marks a latency of a noisy "
        "machine, whose interval stayed wider than the tolerance. The interval says what other "
        "test images would change, not what another training would: that is the standard deviation "
        "behind ±, after the mean over the seeds, where there are several. The mean is what the "
        "front and the recommendation go by."
    )
    more_heads = [f"latency on {escape(target_name(prefix))}" for prefix in others]
    heads = [*_HEADS, *(["unshifted"] if shifts else []), *more_heads]
    if shifts:
        text += " Unshifted is the share of the sparse shifts' channels that stay in place."
    return f"<h2>The front</h2><p>{state}{text}</p>{_table(heads, rows, sort='latency')}"


def failures(trials: pd.DataFrame) -> str:
    """Return how the trials ended, and why some failed or broke a limit."""
    if trials.empty:
        return '<p class="note">No trial is finished yet.</p>'
    counts = trials["state"].value_counts().items()
    listed = ", ".join(f"{n} {escape(str(state))}" for state, n in counts)
    text = f"<h2>How the trials ended</h2><p>{listed}.</p>"
    bad = trials[trials["state"].isin(["failed", "infeasible", "screened"])]
    if bad.empty:
        return text
    rows = [
        f"<tr><td>{whole(trial.number)}</td><td><code>{escape(trial.digest)}</code></td>"
        f"<td>{escape(trial.state)}</td><td>{escape(trial.reason)}</td></tr>"
        for trial in members(bad.head(FAILURES_SHOWN))
    ]
    more = len(bad) - len(rows)
    rest = f"<p class='soft'>{more} more are in trials.csv.</p>" if more else ""
    table = _table(("trial", "digest", "state", "reason"), rows, kind="words")
    return f"{text}<details><summary>{len(bad)} reasons</summary>{table}{rest}</details>"


def _row(member: Any, tied_ms: bool, tied: bool, shifts: bool, elsewhere: tuple[Any, ...]) -> str:
    cells = [
        (member.digest, f"<code>{name(member)}</code>"),
        (
            member.test_accuracy,
            f"{_tie(tied)}{percent(member.test_accuracy)}<small>[{accuracies(member)}]</small>"
            f"{_seeds(member, 'test_accuracy')}",
        ),
        (member.accuracy, f"{percent(member.accuracy)}{_seeds(member, 'accuracy')}"),
        (
            member.latency_ms,
            f"{_tie(tied_ms)}{latency(member)}<small>[{latencies(member)}]</small>",
        ),
        (member.params, count(member.params)),
        (member.macs, count(member.macs)),
        (member.epochs, whole(member.epochs)),
        (member.seeds, whole(member.seeds)),
    ]
    if shifts:
        share = member.unshifted_share
        cells.append((share, "none" if pd.isna(share) else percent(share)))
    for there in elsewhere:
        cells.append((there.latency_ms, f"{latency(there)}<small>[{latencies(there)}]</small>"))
    line = (f'<td data-key="{escape(str(key))}">{html}</td>' for key, html in cells)
    return f"<tr{' class=best' if member.recommended else ''}>{''.join(line)}</tr>"


def _table(heads: Iterable[str], rows: list[str], *, kind: str = "", sort: str = "") -> str:
    def cell(head: str) -> str:
        order = ' aria-sort="ascending"' if head == sort else ""
        return f"<th{order}>" + (f"<button>{head}</button>" if sort else head) + "</th>"

    top = "".join(map(cell, heads))
    return (
        f'<div class="scroll"><table class="{kind}"><thead><tr>{top}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _seeds(member: Any, accuracy: str) -> str:
    text = spread(member, accuracy)
    return f"<small>{text}</small>" if text else ""


def _tie(tied: bool) -> str:
    return '<abbr title="a tie: the intervals of neighbours overlap">≈</abbr> ' if tied else ""
