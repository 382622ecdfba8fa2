from __future__ import annotations

import torch
import torch.nn.functional as F

from search_spaces.block import Site
from search_spaces.blocks.csc import CSC
from search_spaces.testing import BlockContract


class TestCSC(BlockContract):
    block = CSC

    def test_cost_of_a_unit(self) -> None:
        cost = CSC(kernel=5, expand=4).cost(Site(64, 64, hw=(56, 56)))
        assert cost.params == 2 * 64 + 64 * 256 + 2 * 256 + 256 * 64
        assert cost.macs == 56 * 56 * 2 * 64 * 256

    def test_expansion_is_relative_to_the_branch(self) -> None:
        cost = CSC(expand=3).cost(Site(64, 160, stride=2, hw=(9, 9)))
        hidden, made = 3 * 96, 96
        assert cost.params == 2 * 64 + 64 * hidden + 2 * hidden + hidden * made
        assert cost.macs == 81 * 64 * hidden + 25 * hidden * made

    def test_a_strided_unit_ends_with_its_pooled_raw_input(self) -> None:
        x = torch.randn(2, 8, 7, 6)
        y = CSC().build(Site(8, 24, stride=2))(x)
        torch.testing.assert_close(y[:, 16:], F.avg_pool2d(x, 3, stride=2, padding=1))

    def test_a_widening_unit_ends_with_its_raw_input(self) -> None:
        x = torch.randn(2, 8, 7, 6)
        assert torch.equal(CSC().build(Site(8, 24))(x)[:, 16:], x)

    def test_a_unit_that_keeps_the_shape_adds_its_raw_input(self) -> None:
        unit, x = CSC().build(Site(8, 8)).eval(), torch.randn(2, 8, 7, 6)
        torch.testing.assert_close(unit(x), x + unit.branch(x))
