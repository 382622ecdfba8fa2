"""Which architectures are worth keeping: fronts, their knee and volume, and honest intervals.

`points` (n, m) has a row for each candidate, `goals` says "min" or "max" for each column. A row
with a NaN was not measured and never belongs to a front.

Sources: ranks, Deb et al. 2002 (NSGA-II); the knee, Das 1999 and Branke et al. 2004; hypervolume by
slicing objectives, While et al. 2006; `wilson`, Wilson 1927.
"""

from __future__ import annotations

from bisect import bisect_right
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def non_dominated(points: ArrayLike, goals: Sequence[str]) -> Mask:
    """Return which rows no other row beats: none is as good everywhere and better somewhere.

    Raises:
        ValueError: `goals` does not fit `points`.
    """
    costs = _costs(points, goals)
    front = _measured(costs)
    for i, row in enumerate(costs):
        if front[i]:
            front &= ~((costs >= row).all(axis=1) & (costs > row).any(axis=1))
    return front


def ranks(points: ArrayLike, goals: Sequence[str]) -> NDArray[np.int64]:
    """Return 0 for the front, 1 for the front without those, and so on; rows with a NaN come last.

    Raises:
        ValueError: `goals` does not fit `points`.
    """
    costs = _costs(points, goals)
    left = _measured(costs)
    result = np.zeros(len(costs), dtype=np.int64)
    if costs.shape[1] == 2:
        result[left] = _ranks_of_two(costs[left])
        result[~left] = result.max(initial=0) + 1
        return result
    not_worse = np.ones((len(costs), len(costs)), dtype=bool)
    better = np.zeros_like(not_worse)
    for column in costs.T:
        not_worse &= column[:, None] <= column
        better |= column[:, None] < column
    dominates = not_worse & better
    above = dominates.sum(axis=0)  # rows that dominate each row and have no rank yet
    rank = 0
    while left.any():
        front = left & (above == 0)
        result[front] = rank
        above -= dominates[front].sum(axis=0)
        left &= ~front
        rank += 1
    result[~_measured(costs)] = max(rank, 1)
    return result


def _ranks_of_two(costs: Floats) -> list[int]:
    """Return ranks in one sweep by the first cost, without comparing all with all.

    Source: Jensen 2003, doi:10.1109/TEVC.2003.817234.
    """
    ranks = [0] * len(costs)
    lowest: list[float] = []  # second cost of each front so far; grows with the rank
    before, rank = None, 0
    for i in np.lexsort((costs[:, 1], costs[:, 0])):
        point = (costs[i, 0], costs[i, 1])
        if point != before:  # twins do not beat each other
            rank = bisect_right(lowest, point[1])
            lowest[rank : rank + 1] = [point[1]]
        ranks[i], before = rank, point
    return ranks


def knee(points: ArrayLike, goals: Sequence[str]) -> int:
    """Return the row of the front that lies farthest from the line between its two extremes.

    Each goal is scaled to 0..1 over the front; with more than two goals the line is the plane on
    which the scaled goals add up to a constant. Rows equally far, such as the two of a front of two
    or the ends of one without a bulge, are told apart by the first goal.

    Raises:
        ValueError: no row can be on a front, or `goals` does not fit `points`.
    """
    return int(_by_distance(points, goals)[0])


def hypervolume(points: ArrayLike, reference: ArrayLike, goals: Sequence[str]) -> float:
    """Return the volume that `points` dominate within the box that ends at `reference`, exactly.

    Two goals take a sort; each further one multiplies the time by the number of points.

    Raises:
        ValueError: `goals` does not fit `points` or `reference`.
    """
    corner = _costs(np.atleast_2d(reference), goals)[0]
    costs = _costs(points, goals)
    return _volume(costs[(costs < corner).all(axis=1)], corner)


def recommend(
    front: pd.DataFrame, *, tolerance: float = 0.01, costs: Sequence[str] = ("latency_ms",)
) -> str:
    """Return the digest to take when nobody says more: the member nearest to the front's knee.

    Only members within `tolerance` of the highest accuracy are looked at: more than one point of it
    is seldom what a user wants to give away unasked.

    Args:
        front: with the columns `digest`, `accuracy` (a fraction) and those of `costs`.
        tolerance: accuracy that may be given away, as a fraction.
        costs: the columns to keep low.

    Raises:
        ValueError: no member has both an accuracy and a cost.
    """
    accuracy = front["accuracy"].to_numpy(dtype=float)
    points = front[["accuracy", *costs]].to_numpy(dtype=float)
    order = _by_distance(points, ("max", *["min"] * len(costs)))
    near = accuracy >= accuracy[order].max() - tolerance - 1e-12
    return str(front["digest"].iloc[order[near[order]][0]])


def ties(values: ArrayLike, lows: ArrayLike, highs: ArrayLike) -> Mask:
    """Return which members' intervals overlap with that of the next smaller or larger value."""
    order = np.argsort(np.asarray(values, dtype=float))
    low, high = (np.asarray(ends, dtype=float)[order] for ends in (lows, highs))
    overlaps = low[1:] <= high[:-1]
    tied = np.zeros(len(order), dtype=np.bool_)
    tied[order[1:]] |= overlaps
    tied[order[:-1]] |= overlaps
    return tied


def wilson(accuracy: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return the interval that holds an accuracy measured on `n` images, by default to 95 %.

    Raises:
        ValueError: no images.
    """
    if n < 1:
        raise ValueError(f"`n` (={n}) must be at least 1")
    shrunk = 1 + z * z / n
    middle = (accuracy + z * z / (2 * n)) / shrunk
    half = z * sqrt(accuracy * (1 - accuracy) / n + (z / (2 * n)) ** 2) / shrunk
    return min(accuracy, max(0.0, middle - half)), max(accuracy, min(1.0, middle + half))


def _by_distance(points: ArrayLike, goals: Sequence[str]) -> NDArray[np.int64]:
    """Return the rows of the front, the knee first; ties are told apart by the first goal."""
    members = np.flatnonzero(non_dominated(points, goals))
    if not len(members):
        raise ValueError("`points` holds no row without NaN, so there is no front and no knee")
    costs = _costs(points, goals)[members]
    low = costs.min(axis=0)
    span = costs.max(axis=0) - low
    scaled = (costs - low) / np.where(span > 0, span, 1)
    distance = scaled.sum(axis=1).round(12)  # from the ideal corner; rounded, or noise breaks ties
    return members[np.lexsort((scaled[:, 0], distance))]


def _costs(points: ArrayLike, goals: Sequence[str]) -> Floats:
    """Return `points` with every goal turned into "min"."""
    costs = np.asarray(points, dtype=float)
    if costs.ndim != 2 or costs.shape[1] != len(goals) or set(goals) - {"min", "max"}:
        raise ValueError(
            f"`goals` (={tuple(goals)}) must name 'min' or 'max' for each column of `points` "
            f"(n, m), but their shape is {costs.shape}"
        )
    return np.asarray(costs * [1.0 if goal == "min" else -1.0 for goal in goals])


def _measured(points: Floats) -> Mask:
    return np.asarray(~np.isnan(points).any(axis=1))


def _volume(costs: Floats, corner: Floats) -> float:
    """Return the volume between `costs`, all inside, and `corner`."""
    if not len(costs):
        return 0.0
    costs = costs[np.argsort(costs[:, -1])]
    if len(corner) == 1:
        return float(corner[0] - costs[0, 0])
    depths = np.diff(costs[:, -1], append=corner[-1])
    if len(corner) == 2:
        widths = corner[0] - np.minimum.accumulate(costs[:, 0])
        return float(widths @ depths)
    slices = (_volume(costs[: i + 1, :-1], corner[:-1]) for i in range(len(costs)))
    return float(sum(area * depth for area, depth in zip(slices, depths, strict=True)))
