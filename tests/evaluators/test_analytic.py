"""fvcore's count of parts, shifts left out; `tests/search_spaces/presets` has all networks."""

import logging

import pytest
import torch

from evaluators.analytic import fvcore_macs
from search_spaces.arch import Arch, Task
from search_spaces.network import build
from search_spaces.testing import count_macs

TASK = Task(10, (3, 32, 32))


@pytest.mark.parametrize("block", ["mbconv", "csc", "active_shift", "fe", "eesp", "shufflev2"])
def test_parts_add_up_to_the_networks_count(block, caplog):
    arch = Arch.from_text(f"stem(width=16) | stage(width=32,stride=2): 2*{block} | head(width=64)")
    with caplog.at_level(logging.WARNING):
        counted = fvcore_macs(build(arch, TASK), TASK)
    assert list(counted) == [part.name for part in arch.parts(TASK)]
    assert sum(counted.values()) == count_macs(build(arch, TASK), torch.zeros(1, *TASK.shape))
    assert not caplog.records
