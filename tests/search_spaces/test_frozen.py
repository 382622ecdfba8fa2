"""Networks whose shifts are constants: they do what they did, and exporters take them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from search_spaces.arch import Arch, Task
from search_spaces.errors import SpecError
from search_spaces.frozen import frozen
from search_spaces.network import build
from search_spaces.shift import ActiveShift, GroupedShift, Shift, SparseShift

TASK = Task(10, (3, 32, 32))


@torch.inference_mode()
@pytest.mark.parametrize("far", [False, True])
def test_frozen_shifts_move_as_before(far: bool) -> None:
    arch = Arch.from_text("stem(width=18) | stage(width=18,stride=2): active_shift, csc | head")
    network = build(arch, TASK).eval()
    if far:
        for name, offset in network.named_parameters():
            if name.endswith(("alpha", "beta")):
                offset.mul_(5)
    image = torch.rand(2, *TASK.shape)
    torch.testing.assert_close(frozen(network)(image), network(image), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("shift", "layer"),
    [
        (GroupedShift(8), nn.Identity),  # fewer channels than directions
        (SparseShift(8), nn.Identity),
        (ActiveShift(8), nn.Identity),
        (ActiveShift(8, stride=2), nn.MaxPool2d),
    ],
)
def test_a_shift_at_rest_leaves_nothing_to_multiply(shift: Shift, layer: type[nn.Module]) -> None:
    with torch.no_grad():
        for offset in shift.shift_parameters():
            offset.zero_()
    network = frozen(nn.Sequential(shift))
    assert type(network[0]) is layer
    x = torch.randn(2, 8, 7, 5)
    assert torch.equal(network(x), shift(x))


@pytest.mark.export
@pytest.mark.parametrize("block", ["csc", "active_shift", "fe"])
def test_torch_export_takes_frozen_networks_and_refuses_others(block: str) -> None:
    arch = Arch.from_text(f"stem(width=32) | stage(width=32,stride=2): {block} | head")
    network, image = build(arch, TASK).eval(), torch.rand(1, *TASK.shape)
    with pytest.raises(SpecError, match=r"export `search_spaces\.frozen\.frozen\(network\)`"):
        torch.export.export(network, (image,))
    program = torch.export.export(frozen(network), (image,))
    torch.testing.assert_close(program.module()(image), network(image))
