"""The space for images of 28 to 64 pixels: three stages, each halving the map."""

from __future__ import annotations

from ..block import BLOCKS
from ..heads import Head
from ..space import Space, StageSpace
from ..spaces import SPACES
from ..stems import Stem

KINDS = ("mbconv", "shufflev2", "eesp", "csc", "active_shift", "fe")
MENUS = tuple(BLOCKS[kind].over() for kind in KINDS)

SMALL = Space(
    name="small",
    stem=Stem(width=16, stride=1),
    stem_width=(16, 24, 32),
    stages=(
        StageSpace(width=(16, 24, 32, 48), depth=(1, 2, 3), stride=2, blocks=MENUS),
        StageSpace(width=(32, 48, 64, 96), depth=(1, 2, 3, 4), stride=2, blocks=MENUS),
        StageSpace(width=(64, 96, 128, 192), depth=(1, 2, 3, 4), stride=2, blocks=MENUS),
    ),
    head=Head(),
    head_width=(0, 128, 256, 512),
)
SPACES.register("small")(SMALL)
