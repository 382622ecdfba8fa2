"""The columns of latencies: those of the first target bear no name, those of any other its name.

With the targets `cpu` and `edge` they are `latency_ms`, `latency_low_ms` and so on for the first,
and `edge_latency_ms`, `edge_latency_low_ms` for the second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

LATENCY = "latency_ms"
_OF_A_FRONT = (LATENCY, "latency_low_ms", "latency_high_ms", "latency_flagged")


def prefixes(columns: Iterable[str]) -> list[str]:
    """Return what stands before the columns of each target but the first."""
    return [name.removesuffix(LATENCY) for name in columns if name.endswith("_" + LATENCY)]


def target_name(prefix: str) -> str:
    """Return the name of a target by its prefix."""
    return prefix.removesuffix("_")


def of_a_front(prefix: str) -> list[str]:
    """Return the columns of a target that the table of a front has."""
    return [prefix + name for name in _OF_A_FRONT]


def of_target(table: pd.DataFrame, prefix: str) -> pd.DataFrame:
    """Return the columns of one target, named as if there were no other."""
    columns = [name for name in of_a_front(prefix) if name in table]
    return table[columns].rename(columns=lambda name: name.removeprefix(prefix))
