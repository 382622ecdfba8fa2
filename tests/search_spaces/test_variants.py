"""No block offers the same network under two names: a search would count and sample it twice."""

from __future__ import annotations

import pytest
import torch

from search_spaces.block import BLOCKS, Site
from search_spaces.space import variants

KINDS = ["active_shift", "csc", "eesp", "fe", "mbconv", "shufflev2"]


@pytest.mark.parametrize("kind", KINDS)
def test_variants_of_a_block_differ(kind: str) -> None:
    """With weights drawn from the same seed, equal networks would give equal outputs."""
    site = Site(144, 144, hw=(9, 9), image=(3, 9, 9))
    x = torch.linspace(-1, 1, 144 * 81).view(1, 144, 9, 9)
    outputs = {}
    for block in variants(BLOCKS[kind].over()):
        torch.manual_seed(0)
        module = block.build(site).eval()
        with torch.no_grad():
            y = module(x, torch.zeros(1, 3, 9, 9)) if block.wants_image else module(x)
        twin = outputs.setdefault(y.numpy().tobytes(), block)
        assert twin is block, f"{block} and {twin} are the same network"
