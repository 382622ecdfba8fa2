import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.halving import Halving, rungs


@pytest.mark.parametrize(
    ("epochs", "steps"), [(1, ()), (2, (1,)), (4, (1, 2)), (9, (1, 3)), (50, (6, 17))]
)
def test_rungs_end_before_the_last_epoch(epochs, steps):
    assert rungs(epochs) == steps


def test_between_rungs_everything_goes_on():
    halving = Halving(9, ("max",))
    halving.goes_on(1, [0.9])
    assert not halving.goes_on(1, [0.1])
    assert halving.goes_on(2, [0.1])


@given(st.lists(st.floats(0, 1), min_size=1, unique=True))
def test_with_one_objective_the_best_third_so_far_goes_on(values):
    halving = Halving(9, ("max",))
    for i, value in enumerate(values, start=1):
        better = sum(other > value for other in values[:i])
        assert halving.goes_on(1, [value]) == (better < max(1, i // 3))


def test_with_two_objectives_rank_comes_before_accuracy():
    halving = Halving(9, ("max", "min"), eta=2)
    for accuracy in (0.5, 0.49, 0.48):
        halving.goes_on(3, [accuracy, 5.0])
    assert halving.goes_on(3, [0.4, 1.0])  # on the front, for it is faster
    assert not halving.goes_on(3, [0.49, 6.0])  # more accurate, but dominated
