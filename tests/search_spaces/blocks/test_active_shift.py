from __future__ import annotations

import torch
from torch import nn

from search_spaces.block import Site
from search_spaces.blocks.active_shift import ActiveShiftBlock
from search_spaces.shift import ActiveShift
from search_spaces.testing import BlockContract


class TestActiveShiftBlock(BlockContract):
    block = ActiveShiftBlock

    def test_params_of_a_unit(self) -> None:
        params = ActiveShiftBlock().cost(Site(64, 64, hw=(28, 28))).params
        assert params == 2 * 2 * 64 + 2 * 64 * 64 + 2 * 64

    def test_cost_of_a_strided_unit(self) -> None:
        cost = ActiveShiftBlock(expand=3).cost(Site(32, 64, stride=2, hw=(7, 7)))
        hidden = 3 * 64
        assert cost.params == 2 * 32 + 32 * hidden + 4 * hidden + hidden * 64 + 32 * 64
        assert cost.macs == 49 * 32 * hidden + 16 * (hidden * 64 + 32 * 64)

    def test_norm_and_activation_stand_before_the_shift(self) -> None:
        layers = list(ActiveShiftBlock().build(Site(8, 8)).branch.modules())
        kinds = [type(m) for m in layers if isinstance(m, (nn.Conv2d, nn.ReLU, ActiveShift))]
        assert kinds == [nn.Conv2d, nn.ReLU, ActiveShift, nn.Conv2d]

    def test_the_raw_input_is_added(self) -> None:
        unit, x = ActiveShiftBlock().build(Site(8, 8)).eval(), torch.randn(2, 8, 7, 6)
        expected = x + unit.branch(torch.relu(unit.act[0](x)))
        torch.testing.assert_close(unit(x), expected)

    def test_the_shortcut_projects_the_activated_input(self) -> None:
        unit, x = ActiveShiftBlock().build(Site(8, 16, stride=2)).eval(), torch.randn(2, 8, 7, 6)
        activated = torch.relu(unit.act[0](x))
        weight = unit.shortcut.weight[:, :, 0, 0]
        expected = torch.einsum("bihw,oi->bohw", activated[:, :, ::2, ::2], weight)
        torch.testing.assert_close(unit(x) - unit.branch(activated), expected, atol=1e-5, rtol=1e-4)
