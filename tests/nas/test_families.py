from dataclasses import replace

import pytest

from nas.families import FAMILIES, one_family_each, variant
from search_spaces.arch import Task
from search_spaces.block import BLOCKS, kind_of
from search_spaces.blocks.mbconv import MBConv
from search_spaces.budget import Budget, fill
from search_spaces.heads import Head
from search_spaces.networks import NETWORKS, adapted
from search_spaces.space import Space, StageSpace
from search_spaces.spaces import SPACES
from search_spaces.stems import Stem

TASK = Task(10, (1, 28, 28))
MBCONVS = MBConv.over(kernel=(5,), expand=(3,)), MBConv.over(kernel=(3,), expand=(6,))
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
    archs = one_family_each(SPACES[name].within(Budget(), TASK))
    kinds = [{kind_of(type(b)) for s in arch.stages for b in s.blocks} for arch in archs]
    assert kinds == [{kind} for kind in FAMILIES.values()]
    for arch in archs:
        SPACES[name].encode(arch)


def test_a_warm_start_is_the_published_network_as_far_as_the_space_has_it():
    """The space has six stages for MobileNetV2's seven, and 4 blocks where the last two have 4."""
    mobile, task = SPACES["mobile"], Task(1000, (3, 224, 224))
    arch = one_family_each(mobile.within(Budget(), task))[0]
    assert [stage.width for stage in arch.stages] == [16, 24, 32, 64, 96, 320]
    assert [len(stage.blocks) for stage in arch.stages] == [1, 2, 3, 3, 4, 4]
    assert {b.expand for s in arch.stages[1:] for b in s.blocks} == {6}
    assert arch.stages[0].blocks[0].expand == 1
    assert (arch.stem.width, arch.head.width) == (32, 1280)


def test_a_warm_start_has_the_knobs_of_the_published_stages():
    eesp = one_family_each(SPACES["small"].within(Budget(), TASK))[2]
    dilations = [[block.dilation for block in stage.blocks] for stage in eesp.stages]
    assert dilations == [[4, 4], [4, 3, 3], [3, 2, 2]]


@pytest.mark.parametrize("params", [60_000, 250_000])
def test_a_warm_start_is_within_the_budget(params):
    inside = SPACES["small"].within(Budget(params=params), TASK)
    archs = one_family_each(inside)
    assert len({kind_of(type(b)) for arch in archs for s in arch.stages for b in s.blocks}) == 6
    assert all(map(inside.allows, archs))
    assert min(arch.cost(TASK).params for arch in archs[:2]) > params / 4  # none far below it


def test_a_network_becomes_narrow_before_it_becomes_shallow():
    space = SPACES["small"]
    wide = one_family_each(space.within(Budget(), TASK))[0]
    narrow = one_family_each(space.within(Budget(params=250_000), TASK))[0]
    assert [len(s.blocks) for s in narrow.stages] == [len(s.blocks) for s in wide.stages]
    assert narrow.stages[1].width < wide.stages[1].width


def test_a_family_that_a_space_lacks_is_left_out(toy):
    from search_spaces.spaces import find_space

    archs = one_family_each(find_space(str(toy / "space.json")).within(Budget(), TASK))
    assert len(archs) == 3  # mbconv, csc, active_shift


def test_a_knob_that_is_not_offered_gives_way_to_the_nearest_choice():
    menus = BLOCKS["mbconv"].over(expand=(1, 4)), BLOCKS["shufflev2"].over(layout=("equal",))
    stage = StageSpace(width=(32,), depth=(1,), stride=2, blocks=menus)
    space = Space("two", Stem(16, stride=1), (16,), (stage,), Head(), (0,))
    mbconv, shuffle = one_family_each(space.within(Budget(), TASK))
    assert mbconv.stages[0].blocks[0].expand == 4  # the published one is 6
    assert shuffle.stages[0].blocks[0].layout == "equal"


@pytest.mark.parametrize("sides", [(20, 24, 28), (24, 32), (12, 40)])
def test_a_warm_start_has_the_resolution_nearest_to_the_images(sides):
    space = replace(SPACES["small"], resolution=sides)
    archs = one_family_each(space.within(Budget(), TASK))
    assert {arch.resolution for arch in archs} == {min(sides, key=lambda side: abs(side - 28))}


def test_a_warm_start_that_no_shape_brings_within_the_budget_has_a_lower_resolution():
    space = replace(SPACES["small"], resolution=(12, 20, 28))
    for macs, expected in ((700_000, {12, 20, 28}), (1_500_000, {20, 28}), (10**9, {28})):
        inside = space.within(Budget(macs=macs), TASK)
        archs = one_family_each(inside)
        assert all(map(inside.allows, archs))
        assert {arch.resolution for arch in archs} == expected


def test_of_two_menus_of_a_kind_the_one_is_taken_that_the_network_has():
    space = replace(SPACES["small"], stages=(StageSpace((8, 16), (1, 2), 2, MBCONVS),) * 3)
    (arch,) = one_family_each(space.within(Budget(), TASK))
    assert {(b.kernel, b.expand) for stage in arch.stages for b in stage.blocks} == {(3, 6)}
