"""The space for images of 28 to 64 pixels: three stages, each halving the map."""

from __future__ import annotations

from ..block import BLOCKS
from ..heads import Head
from ..space import Space, StageSpace
from ..spaces import SPACES
from ..stems import Stem

# Expansions are modest: at 28 pixels a hidden map six times as wide costs more than it gives.
MENUS = (
    BLOCKS["mbconv"].over(expand=(1, 2, 3, 4)),
    BLOCKS["shufflev2"].over(),
    BLOCKS["eesp"].over(),
    BLOCKS["csc"].over(),
    BLOCKS["active_shift"].over(expand=(1, 2, 3)),
    BLOCKS["fe"].over(units=(1, 2, 3), expand=(2, 3)),
)

SMALL = Space(
    name="small",
    stem=Stem(width=16, stride=1),
    stem_width=(16, 24),
    stages=(
        StageSpace(width=(16, 24, 32), depth=(1, 2), stride=2, blocks=MENUS),
        StageSpace(width=(32, 48, 64), depth=(1, 2, 3), stride=2, blocks=MENUS),
        StageSpace(width=(64, 96, 128), depth=(1, 2, 3), stride=2, blocks=MENUS),
    ),
    head=Head(),
    head_width=(0, 128, 256),
)
SPACES.register("small")(SMALL)
