import pytest

from nas.families import FAMILIES, _choose, one_family_each, variant
from search_spaces.arch import Task
from search_spaces.block import kind_of
from search_spaces.budget import Budget, fill
from search_spaces.networks import NETWORKS, adapted
from search_spaces.spaces import SPACES

TASK = Task(10, (1, 28, 28))
SMALLEST = [
    "mobilenetv2-0.35", "shufflenetv2-0.5", "espnetv2-0.5", "shiftnet-b", "asresnet-w32",
    "fenet-1.0",
]  # fmt: skip
LARGE = [
    "mobilenetv2-1.3", "shufflenetv2-1.5", "espnetv2-2.0", "shiftnet-a", "asresnet-w68",
    "fenet-1.375",
]  # fmt: skip


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (Budget(), list(FAMILIES)),
        (Budget(params=60_000), SMALLEST),
        (Budget(params=3_600_000), LARGE),
        (Budget(size_bytes=14_400_000), LARGE),
    ],
)
def test_the_variant_nearest_to_the_budget_is_taken(budget, expected):
    """At 10 classes and 28 pixels, mobilenetv2-1.0 has 2.2M parameters, 1.3 has 3.7M."""
    assert [variant(name, budget, TASK) for name in FAMILIES] == expected


@pytest.mark.parametrize("params", [60_000, 250_000, 1_000_000, 3_600_000])
@pytest.mark.parametrize("name", list(FAMILIES))
def test_nine_tenths_of_a_budget_are_filled(name, params):
    budget = Budget(params=params)
    arch = adapted(NETWORKS[variant(name, budget, TASK)].arch, TASK)
    assert 0.9 <= budget.used(fill(arch, budget, TASK).cost(TASK)) <= 1


@pytest.mark.parametrize("name", list(SPACES))
def test_a_warm_start_has_one_architecture_of_each_family(name):
    archs = one_family_each(SPACES[name])
    kinds = [{kind_of(type(b)) for s in arch.stages for b in s.blocks} for arch in archs]
    assert kinds == [{kind} for kind in FAMILIES.values()]
    for arch in archs:
        SPACES[name].encode(arch)


def test_a_warm_start_is_within_the_budget():
    inside = SPACES["small"].within(Budget(params=60_000), TASK)
    archs = one_family_each(SPACES["small"], inside.allows)
    assert len({kind_of(type(b)) for arch in archs for s in arch.stages for b in s.blocks}) == 6
    assert all(map(inside.allows, archs))
    assert min(arch.cost(TASK).params for arch in archs) > 60_000 / 3  # none far below it


def test_a_family_that_a_space_lacks_is_left_out(toy):
    from search_spaces.spaces import find_space

    archs = one_family_each(find_space(str(toy / "space.json")))
    assert len(archs) == 3  # mbconv, csc, active_shift


def test_a_default_that_is_not_offered_gives_way_to_the_nearest_choice():
    assert _choose("mbconv", 0.5, 0.5, "s0.b0.mbconv.expand", (1, 4)) == 4  # the default is 6
    assert _choose("shufflev2", 0.5, 0.5, "s0.b0.shufflev2.layout", ("equal",)) == "equal"
