"""fvcore's count, shifts left out; `tests/search_spaces/presets` has all networks."""

import logging

import pytest
import torch

from evaluators.analytic import fvcore_layers, fvcore_macs
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


@pytest.mark.parametrize("block", ["mbconv", "csc", "active_shift", "fe", "eesp", "shufflev2"])
def test_layers_add_up_to_the_parts(block):
    arch = Arch.from_text(f"stem(width=16) | stage(width=32,stride=2): 2*{block}(se=true) | head")
    network = build(arch, TASK)
    layers, macs = fvcore_layers(network, TASK), fvcore_macs(network, TASK)
    for part in arch.parts(TASK):
        inside = [layer for layer in layers if layer.name.split(".")[0] == part.name]
        assert sum(layer.params for layer in inside) == part.cost.params
        assert sum(layer.macs_fvcore for layer in inside) == macs[part.name]
    assert not any(module._forward_hooks for module in network.modules())


def test_layers_are_what_runs():
    arch = Arch.from_text("stem(width=8,act=none) | stage(width=16,stride=2): csc | head")
    layers = fvcore_layers(build(arch, TASK), TASK)
    by_name = {layer.name: layer for layer in layers}
    assert by_name["stem.0"] == ("stem.0", "Conv2d", (8, 3, 3, 3), (8, 16, 16), 216, 216 * 256)
    (shift,) = (layer for layer in layers if layer.operator == "GroupedShift")
    assert (shift.weight, shift.params, shift.macs_fvcore) == ((), 0, 0)
    assert layers[-1].operator == "Linear"
    assert layers[-1].output == (10,)
