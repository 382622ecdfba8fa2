"""Fronts equal brute force and do not depend on order or units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.pareto import hypervolume, knee, non_dominated, ranks, recommend, ties, wilson

if TYPE_CHECKING:
    from random import Random

    from hypothesis.strategies import DrawFn

    from nas.pareto import Floats

Case = tuple["Floats", tuple[str, ...]]
# Few distinct numbers, so that ties and duplicates are common; NaN is not measured.
NUMBERS = st.integers(0, 6).map(float)


@st.composite
def cases(draw: DrawFn, *, nan: bool = True, least: int = 0, most: int = 12) -> Case:
    m = draw(st.integers(1, 4))
    number = NUMBERS | st.just(float("nan")) if nan else NUMBERS
    rows = draw(st.lists(st.lists(number, min_size=m, max_size=m), min_size=least, max_size=most))
    goals = draw(st.tuples(*[st.sampled_from(["min", "max"])] * m))
    return np.array(rows, dtype=float).reshape(-1, m), goals


def beats(a: Floats, b: Floats, goals: tuple[str, ...]) -> bool:
    pairs = [(x, y) if g == "min" else (y, x) for x, y, g in zip(a, b, goals, strict=True)]
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


@given(cases())
def test_front_equals_brute_force(case: Case) -> None:
    points, goals = case
    rows = [row for row in points if not np.isnan(row).any()]
    expected = [
        not np.isnan(row).any() and not any(beats(other, row, goals) for other in rows)
        for row in points
    ]
    assert non_dominated(points, goals).tolist() == expected


@given(cases(), st.randoms(use_true_random=False))
def test_order_does_not_matter(case: Case, rng: Random) -> None:
    points, goals = case
    order = list(range(len(points)))
    rng.shuffle(order)
    assert np.array_equal(non_dominated(points[order], goals), non_dominated(points, goals)[order])
    assert np.array_equal(ranks(points[order], goals), ranks(points, goals)[order])


@given(cases())
def test_units_do_not_matter(case: Case) -> None:
    points, goals = case
    stretched = np.exp(points) * 3 - 7  # monotone, so dominance stays
    assert np.array_equal(non_dominated(stretched, goals), non_dominated(points, goals))
    assert np.array_equal(ranks(stretched, goals), ranks(points, goals))


@given(cases())
def test_ranks_peel_fronts(case: Case) -> None:
    points, goals = case
    found = ranks(points, goals)
    assert np.array_equal(found == 0, non_dominated(points, goals))
    measured = ~np.isnan(points).any(axis=1)
    for i in np.flatnonzero(measured):
        better = [found[j] for j in np.flatnonzero(measured) if beats(points[j], points[i], goals)]
        assert found[i] == (max(better) + 1 if better else 0)
    if not measured.all():
        assert (found[~measured] > found[measured].max(initial=0)).all()


@given(cases(nan=False, least=1), st.floats(0.1, 9), st.floats(-5, 5))
def test_knee_is_on_the_front_in_any_unit(case: Case, factor: float, offset: float) -> None:
    points, goals = case
    index = knee(points, goals)
    assert non_dominated(points, goals)[index]
    assert np.array_equal(points[knee(points * factor + offset, goals)], points[index])


def test_knee_bulges_most() -> None:
    front = [(0.90, 9.0), (0.89, 4.0), (0.80, 3.5), (0.60, 1.0)]
    assert knee(front, ("max", "min")) == 1


def test_knee_of_one_two_and_a_straight_line() -> None:
    assert knee([(0.5, 3.0)], ("max", "min")) == 0
    assert knee([(0.5, 1.0), (0.9, 3.0)], ("max", "min")) == 1  # the more accurate one
    assert knee([(0.1, 0.1), (0.2, 0.2), (0.3, 0.3)], ("max", "min")) == 2


def test_knee_needs_a_member() -> None:
    with pytest.raises(ValueError, match="no front and no knee"):
        knee([(float("nan"), 1.0)], ("max", "min"))


@given(cases(nan=False, most=6))
def test_hypervolume_counts_unit_cubes(case: Case) -> None:
    points, goals = case
    m = len(goals)
    reference = np.array([5.0 if goal == "min" else 1.0 for goal in goals])
    signs = np.array([1 if goal == "min" else -1 for goal in goals])
    # Integer points cut space into unit cubes; one counts if a point is at or below its low corner.
    grid = np.stack(np.meshgrid(*[np.arange(-6, 6)] * m, indexing="ij"), axis=-1).reshape(-1, m)
    inside = (grid + 1 <= reference * signs).all(axis=1)
    covered = np.zeros(len(grid), dtype=bool)
    for point in points * signs:
        covered |= (point <= grid).all(axis=1)
    assert hypervolume(points, reference, goals) == pytest.approx((inside & covered).sum())


@given(cases(nan=False))
def test_only_the_front_has_volume(case: Case) -> None:
    points, goals = case
    reference = [7.0 if goal == "min" else -1.0 for goal in goals]
    front = points[non_dominated(points, goals)]
    assert hypervolume(front, reference, goals) == pytest.approx(
        hypervolume(points, reference, goals)
    )


def test_goals_must_fit() -> None:
    with pytest.raises(ValueError, match=r"`goals` \(=\('min',\)\) must name .* \(1, 2\)"):
        non_dominated([(1.0, 2.0)], ("min",))
    with pytest.raises(ValueError, match="must name 'min' or 'max'"):
        ranks([(1.0, 2.0)], ("min", "least"))


def test_recommend_gives_away_one_point_at_most() -> None:
    front = pd.DataFrame(
        {
            "digest": ["best", "knee", "near", "fast", "unmeasured"],
            "accuracy": [0.90, 0.899, 0.89, 0.70, 0.95],
            "latency_ms": [9.0, 4.0, 3.9, 0.1, np.nan],
            "macs": [1, 2, 3, 4, 5],
        }
    )
    assert recommend(front) == "knee"
    assert recommend(front, tolerance=0.0) == "best"
    assert recommend(front.query("digest != 'unmeasured'"), costs=["macs"]) == "best"
    with pytest.raises(ValueError, match="no knee"):
        recommend(front.iloc[4:])


def test_ties_are_neighbours_that_overlap() -> None:
    values, spread = np.array([3.0, 1.0, 2.0, 1.2, np.nan]), 0.15
    tied = ties(values, values - spread, values + spread)
    assert tied.tolist() == [False, True, False, True, False]
    assert ties([], [], []).tolist() == []


def test_wilson_of_the_textbook() -> None:
    assert wilson(0.9, 100) == pytest.approx((0.8256, 0.9448), abs=1e-4)
    assert wilson(1.0, 20) == pytest.approx((0.8389, 1.0), abs=1e-4)
    with pytest.raises(ValueError, match=r"`n` \(=0\) must be at least 1"):
        wilson(0.5, 0)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_wilson_holds_the_measured_value(n: int, accuracy: float) -> None:
    low, high = wilson(accuracy, n)
    assert 0 <= low <= accuracy + 1e-12
    assert accuracy - 1e-12 <= high <= 1
