from __future__ import annotations

import pytest
import torch

from search_spaces.arch import Arch, Stage
from search_spaces.block import Site
from search_spaces.blocks.shufflev2 import ShuffleV2
from search_spaces.errors import SpecError
from search_spaces.heads import Head
from search_spaces.stems import Stem
from search_spaces.testing import BlockContract


class TestShuffleV2(BlockContract):
    block = ShuffleV2

    def test_params_of_a_unit(self) -> None:
        pointwise, depthwise = 58 * 58 + 2 * 58, 9 * 58 + 2 * 58
        assert ShuffleV2().cost(Site(116, 116, hw=(28, 28))).params == 2 * pointwise + depthwise

    @pytest.mark.parametrize(("layout", "side"), [("equal", 58), ("published", 24)])
    def test_layouts_of_a_strided_unit(self, layout: str, side: int) -> None:
        unit = ShuffleV2(layout=layout)
        site = Site(24, 116, stride=2, hw=(56, 56))
        main = 116 - side
        aside = 9 * 24 + 2 * 24 + 24 * side + 2 * side
        through = 24 * 58 + 2 * 58 + 9 * 58 + 2 * 58 + 58 * main + 2 * main
        assert unit.cost(site).params == aside + through
        assert unit.build(site)(torch.randn(2, 24, 6, 6)).shape == (2, 116, 3, 3)

    def test_the_layouts_agree_where_the_width_doubles_or_shrinks(self) -> None:
        for c_out in (48, 24, 12):
            site = Site(24, c_out, stride=2)
            assert ShuffleV2(layout="published").cost(site) == ShuffleV2().cost(site)

    def test_half_of_the_channels_pass(self) -> None:
        x = torch.randn(2, 8, 5, 5)
        y = ShuffleV2().build(Site(8, 8))(x)
        assert torch.equal(y[:, ::2], x[:, :4])

    def test_the_authors_deal_out_channels_before_a_unit(self) -> None:
        x = torch.randn(2, 8, 5, 5)
        unit = ShuffleV2(layout="published").build(Site(8, 8)).eval()
        odd = torch.stack([x[:, channel] for channel in (1, 3, 5, 7)], dim=1)
        y = unit(x)
        assert torch.equal(y[:, :4], torch.stack([x[:, c] for c in (0, 2, 4, 6)], dim=1))
        assert torch.equal(y[:, 4:], unit.main(odd))

    def test_the_authors_leave_a_strided_unit_in_order(self) -> None:
        x = torch.randn(2, 6, 5, 5)
        unit = ShuffleV2(layout="published").build(Site(6, 20, stride=2)).eval()
        assert torch.equal(unit(x)[:, :6], unit.side(x))

    def test_the_layout_is_written_down(self) -> None:
        stage = Stage(16, 2, (ShuffleV2(layout="published"),))
        arch = Arch(Stem(8), (stage,), Head())
        assert "shufflev2(layout=published)" in str(arch)
        assert Arch.from_text(str(arch)) == Arch.from_json(arch.to_json()) == arch

    def test_an_unknown_layout_is_refused(self) -> None:
        with pytest.raises(SpecError, match=r"`layout` \(='x'\) must be one of: equal, published"):
            ShuffleV2(layout="x")
