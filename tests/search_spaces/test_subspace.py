"""Counts and draws within a budget, against enumeration and against bins of other widths."""

import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from math import sqrt

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from search_spaces import counting
from search_spaces.arch import Task
from search_spaces.blocks.active_shift import ActiveShiftBlock
from search_spaces.blocks.csc import CSC
from search_spaces.blocks.eesp import EESP
from search_spaces.blocks.fe import FE
from search_spaces.blocks.mbconv import MBConv
from search_spaces.blocks.shufflev2 import ShuffleV2
from search_spaces.budget import NO_LIMIT, Budget
from search_spaces.counting import START, Table, Walks
from search_spaces.errors import BudgetError, SpecError
from search_spaces.heads import Head
from search_spaces.space import Space, StageSpace
from search_spaces.spaces import SPACES
from search_spaces.stems import Stem
from search_spaces.subspace import Subspace

SMALL, TASK = SPACES["small"], Task(10, (1, 4, 4))
MENUS = (
    MBConv.over(kernel=(3, 5), expand=(2,), se=(False,)),
    MBConv.over(kernel=(7,), expand=(2,), se=(False,)),
    ShuffleV2.over(kernel=(3,)),
    EESP.over(branches=(2,), dilation=(2, 3), se=(True,)),
    CSC.over(kernel=(3,), dilation=(1,), expand=(1, 2), se=(False,)),
    ActiveShiftBlock.over(expand=(1, 3), se=(False,)),
    FE.over(units=(2,), expand=(3,), se=(True, False)),
)


def subsets(values, most):
    return st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True).map(
        lambda chosen: tuple(sorted(chosen))
    )


@st.composite
def spaces(draw):
    """Small spaces of random stages, with tails, poolings, strides and resolutions."""
    menus = st.lists(st.sampled_from(MENUS), min_size=1, max_size=2, unique=True).map(tuple)
    stage = st.builds(
        StageSpace, subsets((8, 16, 24), 2), subsets((1, 2, 3), 2), st.sampled_from((1, 2)), menus
    )
    stem = Stem(8, stride=draw(st.sampled_from((1, 2))), pool=draw(st.booleans()))
    stages = tuple(draw(st.lists(stage, min_size=1, max_size=2)))
    heads = draw(subsets((0, 16, 32), 2))
    sides = draw(st.just(()) | subsets((8, 12, 16), 2))
    space = Space("random", stem, draw(subsets((8, 16), 2)), stages, Head(), heads, sides)
    return replace(space, stages=stages[:1]) if space.size() > 3000 else space


def costs(space, name="params"):
    return sorted(getattr(arch.cost(TASK), name) for arch in space.enumerate())


def limits(draw, found):
    low, high = sorted((draw(st.sampled_from(found)), draw(st.sampled_from(found))))
    return low, high


few = settings(max_examples=25, deadline=None)


class TestCount:
    @few
    @given(spaces(), st.sampled_from(["params", "macs", "size_bytes"]), st.data())
    def test_it_is_that_of_enumeration(self, space, name, data):
        walks = Walks(space, TASK, "macs" if name == "macs" else "params")
        assume(Table(walks, walks.most[START]).bin == walks.unit)  # no two costs share a bin
        found = costs(space, name)
        low, high = limits(data.draw, found)
        high += data.draw(st.integers(0, 3))
        assert space.count(Budget(**{name: high}), TASK) == sum(c <= high for c in found)
        between = sum(low <= c <= high for c in found)
        assert space.count(Budget(**{name: high}), TASK, Budget(**{name: low})) == between
        at_least = space.count(NO_LIMIT, TASK, Budget(**{name: low}))
        assert at_least == sum(low <= c for c in found)

    @few
    @given(spaces(), st.data())
    def test_binned_it_is_never_more_and_draws_stay_inside(self, space, data):
        found = costs(space)
        low, high = limits(data.draw, found)
        walks = Walks(space, TASK, "params")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(counting, "CELLS", data.draw(st.integers(20, 500)) * len(walks.moves))
            table = Table(walks, high, low)
        assert table.total <= sum(low <= c <= high for c in found)
        if table.total:
            drawn = table.draw(random.Random(0)).cost(TASK).params
            assert low <= drawn <= high

    def test_without_a_limit_it_is_the_size(self):
        assert SMALL.count(NO_LIMIT, TASK) == SMALL.size()
        assert SMALL.count(Budget(params=10**9), TASK) == SMALL.size()

    def test_macs_depend_on_the_resolution_and_params_do_not(self):
        sides = (8, 12, 16)
        space, alone = (replace(TINY, resolution=r) for r in (sides, sides[:1]))
        params = Budget(params=sorted(costs(alone))[len(costs(alone)) // 2])
        assert space.count(params, TASK) == 3 * alone.count(params, TASK)
        macs = Budget(macs=sorted(costs(space, "macs"))[len(costs(space, "macs")) // 2])
        each = [replace(TINY, resolution=(side,)).count(macs, TASK) for side in sides]
        assert space.count(macs, TASK) == sum(each)
        assert each == sorted(each, reverse=True)
        assert each[0] > each[2] > 0

    def test_bins_of_many_resolutions_are_fine_enough(self):
        space, budget = replace(SMALL, resolution=(16, 20, 24, 28)), Budget(macs=2_000_000)
        each = [replace(SMALL, resolution=(r,)).count(budget, TASK) for r in space.resolution]
        assert 0.99 * sum(each) < space.count(budget, TASK) <= sum(each)

    @pytest.mark.parametrize("params", [20_000, 300_000])
    def test_bins_are_fine_enough(self, params, monkeypatch):
        walks = Walks(SMALL, TASK, "params")
        fine = Table(walks, params)
        monkeypatch.setattr(counting, "CELLS", counting.CELLS // 8)
        coarse = Table(walks, params)
        assert fine.total * 0.999 < coarse.total <= fine.total

    def test_limits_of_two_kinds_are_estimated(self):
        tiny = replace(SMALL, stages=SMALL.stages[:1], head_width=(0,))
        tiny = replace(tiny, stages=(replace(tiny.stages[0], depth=(1,), blocks=MENUS),))
        archs = list(tiny.enumerate())
        every = [arch.cost(TASK) for arch in archs]
        middle = len(every) // 2
        budget = Budget(
            sorted(c.params for c in every)[middle], sorted(c.macs for c in every)[middle]
        )
        inside = sum(map(budget.allows, every))
        subspace = tiny.within(budget, TASK)
        assert 0 < subspace.acceptance < 1
        assert subspace.size() == pytest.approx(inside, rel=0.25)
        rng = random.Random(0)
        assert all(subspace.allows(subspace.sample(rng)) for _ in range(50))


class TestSample:
    def chi_square(self, observed, expected):
        """Return the statistic and the value that fair draws exceed once in 10,000 times."""
        free = len(expected) - 1
        z = 3.719  # Wilson and Hilferty's approximation of the quantile
        limit = free * (1 - 2 / (9 * free) + z * sqrt(2 / (9 * free))) ** 3
        assert min(expected.values()) > 5
        return sum((observed[k] - e) ** 2 / e for k, e in expected.items()), limit

    @settings(max_examples=8, deadline=None)
    @given(spaces(), st.data())
    def test_all_architectures_are_as_likely(self, space, data):
        archs = sorted(space.enumerate(), key=lambda arch: arch.cost(TASK).params)[:120]
        budget = Budget(params=archs[-1].cost(TASK).params)
        least = Budget(params=archs[len(archs) // 3].cost(TASK).params)
        subspace = Subspace(space, TASK, budget, least)
        inside = [arch for arch in space.enumerate() if subspace.allows(arch)]
        if not 1 < len(inside) <= 120:
            return
        rng = random.Random(data.draw(st.integers(0, 1000)))
        observed = Counter(subspace.sample(rng) for _ in range(20 * len(inside)))
        statistic, limit = self.chi_square(observed, dict.fromkeys(inside, 20.0))
        assert set(observed) <= set(inside)
        assert statistic < limit

    @pytest.mark.parametrize("resolution", [(), (8, 12)])
    def test_by_genes_proportions_are_those_of_the_space(self, resolution):
        stage = StageSpace((8, 16), (1, 2), 2, MENUS[:2])
        space = Space("tiny", Stem(8), (8,), (stage,), Head(), (0, 16), resolution)
        macs = sorted(costs(space, "macs"))
        subspace = space.within(Budget(macs=macs[len(macs) // 2]), TASK)
        rng, count = random.Random(0), 20_000
        plain = [
            arch for arch in (space.sample(rng) for _ in range(count)) if subspace.allows(arch)
        ]
        ours = [subspace.sample(rng, uniform="gene") for _ in range(len(plain))]
        seen = Counter(plain), Counter(ours)
        assert set(seen[0]) == set(seen[1])
        pooled = sum((seen[0][a] - seen[1][a]) ** 2 / (seen[0][a] + seen[1][a]) for a in seen[0])
        free = len(seen[0]) - 1
        assert pooled < free + 4 * sqrt(2 * free)

    @pytest.mark.parametrize("uniform", ["arch", "gene"])
    def test_draws_are_of_the_space_and_within(self, uniform):
        subspace, rng = SMALL.within(Budget(params=40_000), TASK), random.Random(0)
        for _ in range(100):
            arch = subspace.sample(rng, uniform)
            assert SMALL.decode(SMALL.encode(arch)) == arch
            assert arch.cost(TASK).params <= 40_000

    def test_same_seed_same_draws(self):
        budget = Budget(params=40_000)
        first, again, other = (
            SMALL.sample(random.Random(seed), budget, TASK).digest for seed in (1, 1, 2)
        )
        assert first == again != other

    def test_a_budget_needs_a_task(self):
        with pytest.raises(SpecError, match="needs a `task`"):
            SMALL.sample(random.Random(0), Budget(params=40_000))


class TestMutate:
    @few
    @given(st.integers(10_000, 100_000), st.integers(0, 1000))
    def test_it_stays_inside(self, params, seed):
        subspace, rng = Subspace(TINY, TASK, Budget(params=params)), random.Random(seed)
        arch = subspace.sample(rng)
        for _ in range(20):
            mutant = subspace.mutate(arch, rng)
            assert mutant != arch
            assert subspace.allows(mutant)
            arch = mutant

    def test_where_no_neighbour_fits_it_is_a_sample(self):
        stage = replace(TINY.stages[0], blocks=(FE.over(units=(1, 2), expand=(3,)),))
        space = replace(TINY, stages=(stage,))
        only = min(space.enumerate(), key=lambda arch: arch.cost(TASK).params)
        subspace = Subspace(space, TASK, Budget(params=only.cost(TASK).params))
        assert subspace.size() == 1
        assert subspace.mutate(only, random.Random(0)) == only


class TestRepair:
    @few
    @given(st.integers(3_000, 60_000), st.integers(0, 1000))
    def test_it_ends_inside_and_leaves_alone_what_is_inside(self, params, seed):
        subspace, rng = Subspace(SMALL, TASK, Budget(params, macs=10**6)), random.Random(seed)
        arch = SMALL.sample(rng)
        repaired = subspace.repair(arch, rng)
        assert subspace.allows(repaired)
        assert SMALL.decode(SMALL.encode(repaired)) == repaired
        assert subspace.repair(repaired, rng) is repaired
        assert (repaired is arch) == subspace.allows(arch)

    def test_to_a_lower_limit_as_well(self):
        subspace = Subspace(SMALL, TASK, Budget(params=90_000), Budget(params=80_000))
        rng = random.Random(0)
        assert all(
            80_000 <= subspace.repair(SMALL.sample(rng), rng).cost(TASK).params <= 90_000
            for _ in range(10)
        )


TINY = Space(
    "tiny",
    Stem(8),
    (8, 16),
    (StageSpace((16, 64), (1, 2), 2, MENUS[:3]),),
    Head(),
    (0, 128),
)


class TestLimits:
    @pytest.mark.parametrize("name", ["params", "macs", "size_bytes"])
    def test_below_the_smallest_the_message_has_it(self, name):
        least = min(costs(TINY, name))
        with pytest.raises(BudgetError, match=rf"`{name}` .=7. is below .*'tiny', .* {least:,}$"):
            TINY.within(Budget(**{name: 7}), TASK)
        TINY.within(Budget(**{name: least}), TASK)
        assert TINY.count(Budget(**{name: 7}), TASK) == 0

    def test_above_the_largest_the_message_has_it(self):
        most = max(costs(TINY))
        with pytest.raises(BudgetError, match=rf"is above the largest .*, which has {most:,}$"):
            TINY.within(NO_LIMIT, TASK, Budget(params=most + 1))
        with pytest.raises(BudgetError, match=r"`params` .=9,000. is above the budget's 8,000"):
            TINY.within(Budget(params=8_000), TASK, Budget(params=9_000))

    def test_between_two_costs_the_message_has_the_nearest(self):
        found = costs(TINY)
        low, high = max(pairwise(found), key=lambda pair: pair[1] - pair[0])
        with pytest.raises(BudgetError, match=f"the nearest below has {low:,}$"):
            TINY.within(Budget(params=high - 1), TASK, Budget(params=low + 1))

    def test_limits_that_never_meet_are_refused(self):
        few_params, few_macs = min(costs(TINY)), min(costs(TINY, "macs"))
        cheap = [a.cost(TASK) for a in TINY.enumerate()]
        both = [c for c in cheap if c.params <= few_params + 50 and c.macs <= few_macs + 50]
        if not both:
            with pytest.raises(BudgetError, match="of 1,000 that meet one of its limits none"):
                TINY.sample(random.Random(0), Budget(few_params + 50, few_macs + 50), TASK)
