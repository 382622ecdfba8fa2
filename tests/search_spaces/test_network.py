"""A block of the user's own that has a bug costs the candidates that hold it, and says where."""

from dataclasses import dataclass

import pytest
from torch import nn

from search_spaces.arch import Arch, Stage, Task
from search_spaces.block import Block
from search_spaces.cost import Cost
from search_spaces.errors import CandidateError, SpecError
from search_spaces.heads import Head
from search_spaces.network import build
from search_spaces.stems import Stem

TASK = Task(10, (1, 8, 8))


@dataclass(frozen=True)
class Mine(Block):
    fault: str = "none"

    def cost(self, site):
        return Cost() if self.fault != "cost" else site.inputs

    def build(self, site):
        if self.fault == "build":
            return nn.Conv2d(site.inputs, 1, 1)
        wide = site.c_out + (self.fault == "width")
        c_in = site.c_in + (self.fault == "forward")
        return nn.Conv2d(c_in, wide, 1, stride=site.stride)


def arch(fault):
    return Arch(Stem(width=4), (Stage(6, 2, (Mine(fault),)),), Head())


def test_a_sound_one_is_built_ready_to_train():
    assert all(module.training for module in build(arch("none"), TASK).modules())


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("build", "Mine.*AttributeError: 'Site' object has no attribute 'inputs'"),
        ("forward", r"Mine.*RuntimeError: Given groups=1"),
        ("width", r"Mine.* gives \(2, 7, .*, but must give \(2, 6, "),
    ],
)
def test_a_bug_fails_the_candidate(fault, message):
    with pytest.raises(CandidateError, match=message):
        build(arch(fault), TASK)


def test_a_cost_that_cannot_be_told_is_one_line():
    with pytest.raises(SpecError, match=r"Mine.* has no cost at Site.*no attribute 'inputs'"):
        arch("cost").cost(TASK)
