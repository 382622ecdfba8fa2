from __future__ import annotations

from search_spaces.block import Site
from search_spaces.blocks.mbconv import MBConv
from search_spaces.testing import BlockContract


class TestMBConv(BlockContract):
    block = MBConv

    def test_params_of_the_paper(self) -> None:
        assert (
            MBConv(kernel=3, expand=6).cost(Site(16, 24, stride=2, hw=(112, 112))).params == 5_136
        )

    def test_macs_of_a_unit(self) -> None:
        cost = MBConv(kernel=5, expand=3).cost(Site(16, 24, stride=2, hw=(7, 7)))
        assert cost.macs == 49 * 16 * 48 + 16 * (25 * 48 + 48 * 24)  # 7x7 in, 4x4 out

    def test_an_input_that_is_added_later_is_kept(self) -> None:
        kept = MBConv(expand=6).cost(Site(16, 16, hw=(8, 8))).peak_activations
        assert kept == 64 * (96 + 96 + 16)  # the depthwise convolution's maps and the skip
        assert MBConv(expand=6).cost(Site(16, 8, hw=(8, 8))).peak_activations == 64 * (96 + 96)
