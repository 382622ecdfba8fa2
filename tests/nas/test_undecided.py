import pytest

from nas.undecided import Member, undecided


def test_the_order_of_overlapping_members_is_open():
    members = [Member("slow", (0.91,), (9.0,)), Member("middle", (0.90,), (5.0,))]
    assert undecided(members, images=1000) == ["slow", "middle"]
    assert undecided(members, images=10**6) == []  # as if each had been validated without doubt


def test_who_is_clearly_beaten_matters_to_nobody():
    members = [
        Member("good", (0.95,), (5.0,)),
        Member("beaten", (0.80,), (5.0,)),
        Member("beaten too", (0.81,), (6.0,)),
        Member("quick", (0.70,), (1.0,)),
    ]
    assert undecided(members, images=1000) == []


@pytest.mark.parametrize(("spread", "found"), [(0.001, []), (0.05, ["a", "b"])])
def test_repeats_tell_how_far_accuracies_spread(spread, found):
    members = [
        Member("a", tuple(0.92 + spread * i for i in (-1, 0, 1)), (2.0,)),
        Member("b", tuple(0.88 + spread * i for i in (-1, 0, 1)), (1.0,)),
    ]
    assert undecided(members, images=1000) == found


def test_few_or_none_are_decided():
    assert undecided([], images=100) == []
    assert undecided([Member("a", (0.9,), (1.0,))], images=100) == []


def test_who_is_quicker_somewhere_is_not_beaten():
    members = [Member("a", (0.95,), (5.0, 1.0)), Member("b", (0.80,), (4.0, 2.0))]
    members.append(Member("c", (0.81,), (4.5, 1.5)))
    assert undecided(members, images=1000) == ["c", "b"]
