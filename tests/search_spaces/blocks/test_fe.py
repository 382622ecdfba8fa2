from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from search_spaces.block import Site
from search_spaces.blocks.fe import FE
from search_spaces.shift import SparseShift
from search_spaces.testing import BlockContract


def unit_params(c_in: int, c_out: int, expand: int, shifts: bool = True) -> int:
    hidden = expand * c_in
    return c_in * hidden + 2 * hidden + shifts * 2 * hidden + hidden * c_out + 2 * c_out


class TestFE(BlockContract):
    block = FE

    def test_params_of_a_block(self) -> None:
        expected = unit_params(32, 32, 6) + unit_params(64, 64, 6) + unit_params(128, 256, 6)
        assert FE(units=3).cost(Site(128, 256, hw=(14, 14))).params == expected

    def test_the_last_unit_pools_instead_of_shifting(self) -> None:
        expected = unit_params(16, 16, 6) + unit_params(32, 64, 6, shifts=False)
        block = FE(units=2)
        assert block.cost(Site(32, 64, stride=2)).params == expected
        kinds = [type(m) for m in block.build(Site(32, 64, stride=2)).modules()]
        assert kinds.count(SparseShift) == kinds.count(nn.AvgPool2d) == 1

    @pytest.mark.parametrize("stride", [1, 2])
    def test_one_unit_is_enough(self, stride: int) -> None:
        block, site = FE(units=1, expand=5), Site(7, 9, stride, hw=(5, 4))
        assert block.cost(site).params == unit_params(7, 9, 5, shifts=stride == 1)
        y = block.build(site)(torch.randn(2, 7, 5, 4))
        assert y.shape == (2, 9, *site.hw_out)

    def test_partial_windows_average_what_they_hold(self) -> None:
        block = FE(units=1).build(Site(4, 4, stride=2, hw=(3, 3)))
        x = torch.arange(9.0).view(1, 1, 3, 3)
        assert block.last[1](x).flatten().tolist() == [2.0, 3.5, 6.5, 8.0]

    @pytest.mark.parametrize("units", [2, 3, 4])
    def test_units_read_what_the_paper_says(self, units: int) -> None:
        block = FE(units=units, expand=3).build(Site(16, 24, hw=(5, 5))).eval()
        x = torch.randn(2, 16, 5, 5)
        part = 16 // 2 ** (units - 1)
        parts = list(x.split(part, dim=1))
        y: Tensor = parts.pop()
        y = y + block.units[0](y)
        for m in range(2, units):
            untouched = [parts.pop() for _ in range(2 ** (m - 2))]
            y = torch.cat((*reversed(untouched), y), 1)
            y = y + block.units[m - 1](y)
        torch.testing.assert_close(block(x), block.last(torch.cat((x[:, :8], y), 1)))
