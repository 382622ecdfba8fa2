"""What a search optimises, the most important first, and a table's rows as points of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluators.accuracy import Accuracy
from evaluators.latency import Latency

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from evaluators.evaluator import Metric

    from .pareto import Floats

OBJECTIVES = (Accuracy.metrics[0], Latency.metrics[0])  # with one target


def points_of(
    table: pd.DataFrame, objectives: Sequence[Metric] = OBJECTIVES
) -> tuple[Floats, list[str]]:
    """Return (n, m) a table's objectives, and the goal of each."""
    points = table[[metric.name for metric in objectives]].to_numpy(dtype=float)
    return points, [metric.goal for metric in objectives]
