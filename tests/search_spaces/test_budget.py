import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.arch import Task
from search_spaces.budget import GRID, Budget, fill, fit, scale
from search_spaces.cost import Cost
from search_spaces.errors import BudgetError
from search_spaces.networks import NETWORKS, adapted
from search_spaces.spaces import SPACES
from search_spaces.testing import archs

SMALL = SPACES["small"]
TASK = Task(10, (1, 28, 28))


def widths(arch):
    return [arch.stem.width, *(stage.width for stage in arch.stages), arch.head.width]


class TestFit:
    @given(archs(SMALL), st.integers(20_000, 500_000))
    def test_the_result_is_within_the_budget(self, arch, params):
        budget = Budget(params=params)
        if scale(arch, 0.0).cost(TASK).params > params:
            with pytest.raises(BudgetError, match=f"`params` .={params:,}. is below"):
                fit(arch, budget, TASK)
        else:
            assert fit(arch, budget, TASK).cost(TASK).params <= params

    @given(archs(SMALL))
    def test_what_is_within_is_left_alone(self, arch):
        budget = Budget(params=arch.cost(TASK).params)
        assert fit(arch, budget, TASK) is arch

    @given(archs(SMALL), st.integers(20_000, 500_000))
    def test_the_next_wider_version_is_over(self, arch, params):
        budget = Budget(params=params)
        try:
            fitted = fit(arch, budget, TASK)
        except BudgetError:
            return
        if fitted is not arch:
            wider = {scale(arch, k / 1000) for k in range(1001)}
            wider = {w for w in wider if widths(w) > widths(fitted)}
            if wider:
                next_wider = min(wider, key=widths)
                assert not budget.allows(next_wider.cost(TASK))

    @given(archs(SMALL))
    def test_only_widths_change_and_stay_on_the_grid(self, arch):
        narrowed = scale(arch, 0.5)
        assert all(width % GRID == 0 for width in widths(narrowed))
        assert [s.blocks for s in narrowed.stages] == [s.blocks for s in arch.stages]
        assert all(new <= old for new, old in zip(widths(narrowed), widths(arch), strict=True))

    def test_several_limits_hold_at_once(self):
        arch = SMALL.sample(random.Random(0))
        cost = arch.cost(TASK)
        budget = Budget(params=cost.params // 2, macs=cost.macs // 3, size_bytes=cost.params)
        assert budget.allows(fit(arch, budget, TASK).cost(TASK))


class TestFill:
    @given(archs(SMALL), st.integers(50_000, 500_000))
    def test_the_result_is_the_widest_within_the_budget(self, arch, params):
        budget = Budget(params=params)
        try:
            filled = fill(arch, budget, TASK)
        except BudgetError:
            return
        assert filled.cost(TASK).params <= params
        over = scale(filled, 1.0 + 2 * GRID / min(w for w in widths(filled) if w))
        assert over.cost(TASK).params > params

    def test_without_a_limit_nothing_changes(self):
        arch = SMALL.sample(random.Random(0))
        assert fill(arch, Budget(), TASK) is arch

    @given(archs(SMALL))
    def test_over_the_budget_it_is_what_fit_gives(self, arch):
        budget = Budget(params=arch.cost(TASK).params * 2 // 3)
        try:
            fitted = fit(arch, budget, TASK)
        except BudgetError:
            return
        assert fill(arch, budget, TASK) == fitted

    def test_parts_that_would_widen_together_widen_one_by_one(self):
        """One multiplier gives (8, 8, 8, 24, 56), then (8, 8, 16, 32, 64), which is over."""
        arch = adapted(NETWORKS["shiftnet-b"].arch, TASK)
        filled = fill(arch, Budget(params=60_000), TASK)
        assert widths(filled) == [8, 8, 8, 32, 64, 0]
        assert filled.cost(TASK).params > 0.9 * 60_000

    @given(st.sampled_from(list(NETWORKS)), st.integers(25_000, 4_000_000))
    def test_parts_that_are_equally_wide_stay_so(self, name, params):
        arch = NETWORKS[name].arch
        filled = fill(arch, Budget(params=params + 1000 * arch.head.width), TASK)
        pairs = zip(pairwise(widths(arch)), pairwise(widths(filled)), strict=True)
        assert all(b[0] == b[1] for a, b in pairs if a[0] == a[1])


class TestBudget:
    def test_broken_limits_are_listed(self):
        broken = Budget(params=9, macs=10).broken(Cost(params=10, macs=10))
        assert list(broken) == [("params", 10, 9)]

    def test_size_is_four_bytes_a_parameter(self):
        assert not Budget(size_bytes=39).allows(Cost(params=10))
        assert Budget(size_bytes=40).allows(Cost(params=10))


def test_limits_are_whole():
    assert Budget(params=3.6e6) == Budget(params=3_600_000)
    assert SMALL.within(Budget(params=5e4), TASK).size() == SMALL.count(Budget(params=50_000), TASK)


@pytest.mark.parametrize("limit", [True, -1, float("nan"), "3.6M"])
def test_a_limit_that_is_negative_or_no_number_is_refused(limit):
    with pytest.raises(BudgetError, match=r"`params` \(=.*\) of a budget must be a number"):
        Budget(params=limit)


@pytest.mark.parametrize("limit", ["params", "macs", "size_bytes"])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_a_network_fills_its_own_budget_as_it_is(name, limit):
    network = NETWORKS[name]
    budget = Budget(**{limit: getattr(network.arch.cost(network.task), limit)})
    assert fill(network.arch, budget, network.task) == network.arch
