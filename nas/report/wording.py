"""Figures as HTML, with as many digits as they are worth; what was not measured is "unknown"."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..units import format_count

if TYPE_CHECKING:
    from collections.abc import Iterator

UNKNOWN = "unknown"


def members(frame: pd.DataFrame) -> Iterator[Any]:
    """Iterate over the rows, each with its columns as attributes."""
    return iter(frame.itertuples())


def name(member: Any) -> str:
    """Return the digest, after a star if it is recommended."""
    return ('<span class="star">★</span> ' if member.recommended else "") + escape(member.digest)


def seeds(member: Any) -> str:
    """Return how many trainings a figure comes from."""
    return "1 seed" if member.seeds == 1 else f"{whole(member.seeds)} seeds"


def spread(member: Any, name: str) -> str:
    """Return the mean and the standard deviation of an accuracy over the seeds; "" after one."""
    mean, deviation = getattr(member, f"{name}_mean"), getattr(member, f"{name}_sd")
    return "" if pd.isna(deviation) else f"{100 * mean:.1f} ± {100 * deviation:.1f}&nbsp;%"


def accuracies(member: Any) -> str:
    """Return the interval of the test accuracy."""
    low, high = member.test_accuracy_low, member.test_accuracy_high
    return UNKNOWN if pd.isna(low) else f"{100 * low:.1f} to {100 * high:.1f}&nbsp;%"


def latency(member: Any) -> str:
    """Return the latency, what its interval is around it, and a mark if that stayed too wide."""
    value = member.latency_ms
    spread = (member.latency_high_ms - member.latency_low_ms) / 2
    if pd.isna(value):
        return UNKNOWN
    around = "" if pd.isna(spread) else f" ± {spread:.1g}"
    mark = " !" if member.latency_flagged == 1 else ""
    return f"{value:.{_places(value)}f}{around}&nbsp;ms{mark}"


def latencies(member: Any) -> str:
    """Return the interval of the latency."""
    low, high = member.latency_low_ms, member.latency_high_ms
    places = _places(member.latency_ms)
    return UNKNOWN if pd.isna(low) else f"{low:.{places}f} to {high:.{places}f}&nbsp;ms"


def _places(value: float) -> int:
    """Return how many decimals show three digits or so."""
    return 3 if value < 1 else 2 if value < 10 else 1


def percent(value: float) -> str:
    """Return a fraction as percent."""
    return UNKNOWN if pd.isna(value) else f"{100 * value:.1f}&nbsp;%"


def count(value: float) -> str:
    """Return a number of things."""
    return UNKNOWN if pd.isna(value) else format_count(value)


def whole(value: float) -> str:
    """Return a whole number."""
    return UNKNOWN if pd.isna(value) else f"{value:.0f}"
