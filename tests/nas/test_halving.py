import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.halving import Halving, Promotion, first_rungs, ranked


def told(values, **options):
    halving = Halving("asha", 3, ("max",), **options)
    for number, value in enumerate(values):
        halving.reached(number, 0, [value])
    return halving


def promoted(halving, rung=1):
    """Return who goes on to `rung`, the first one first."""
    found = []
    while (promotion := halving.next()) and promotion.rung == rung:
        halving.left(promotion.number)
        found.append(promotion.number)
    return found


@given(st.lists(st.floats(0, 1), min_size=1, unique=True), st.integers(2, 4))
def test_with_one_objective_the_best_of_a_rung_go_on(values, eta):
    best = sorted(range(len(values)), key=lambda i: -values[i])
    assert promoted(told(values, eta=eta)) == best[: len(values) // eta]


@given(st.permutations(range(7)))
def test_the_order_of_results_does_not_matter(order):
    halving = Halving("asha", 3, ("max",))
    for number in order:
        halving.reached(number, 0, [number])
    assert promoted(halving) == [6, 5]


def test_the_highest_rung_comes_first_and_no_way_leads_on_from_the_top():
    halving = told(range(9))
    assert promoted(halving) == [8, 7, 6]
    for number in (6, 7, 8):
        halving.reached(number, 1, [number])
    halving.reached(9, 0, [9.5])
    assert halving.next() == Promotion(8, 2)
    halving.left(8)
    halving.reached(8, 2, [8])
    assert halving.next() == Promotion(9, 1)


def test_a_rung_with_too_few_lets_its_best_go_when_no_more_will_come():
    halving = told([0.2, 0.3])
    assert halving.next() is None
    assert halving.next(last=True) == Promotion(1, 1)


def test_who_does_not_fit_waits_and_others_go_on():
    halving = told(range(9))
    assert halving.next(fits=lambda promotion: promotion.number < 8) == Promotion(7, 1)
    assert halving.next(fits=lambda promotion: False) is None
    assert halving.next() == Promotion(8, 1)


def test_one_that_has_ended_keeps_its_place_but_does_not_go_on():
    halving = told([0.1, 0.2, 0.3])
    halving.left(2)
    assert halving.next() is None


def test_with_two_objectives_rank_comes_before_accuracy():
    halving = Halving("asha", 2, ("max", "min"), eta=2)
    for number, point in enumerate([[0.5, 5.0], [0.49, 5.0], [0.4, 1.0], [0.49, 6.0]]):
        halving.reached(number, 0, point)
    assert promoted(halving) == [0, 2]  # the second is less accurate, but on the front


def test_those_who_may_soon_go_on_are_known():
    halving = told(range(30))
    promoted(halving)
    assert halving.near(spare=2) == {18, 19}
    assert ranked(np.array([[2.0], [1.0], [3.0]]), ("max",)) == [2, 0, 1]


@pytest.mark.parametrize(
    ("scheduler", "rungs", "expected"), [("none", 3, (2,)), ("asha", 3, (0,)), ("asha", 1, (0,))]
)
def test_where_candidates_are_compared_first(scheduler, rungs, expected):
    assert first_rungs(scheduler, rungs, 3) == expected


def test_brackets_of_hyperband_take_turns_in_its_proportions():
    turns = first_rungs("hyperband", 3, 3)
    assert [turns.count(rung) for rung in range(3)] == [9, 5, 3]
    assert set(turns[:6]) == {0, 1, 2}


def test_brackets_are_compared_by_themselves():
    halving = Halving("hyperband", 3, ("max",), eta=2)
    low, middle = ([n for n in range(30) if halving.first(n) == rung][:4] for rung in (0, 1))
    for number in low:
        halving.reached(number, 0, [number])
    for number in middle:
        halving.reached(number, 1, [-number])
    assert promoted(halving, 2) == middle[:2]
    assert promoted(halving) == sorted(low)[:1:-1]
