"""The space for photographs of about 224 pixels, after the stages of the six published networks."""

from __future__ import annotations

from ..block import BLOCKS
from ..heads import Head
from ..space import Space, StageSpace
from ..spaces import SPACES
from ..stems import Stem

KINDS = ("mbconv", "shufflev2", "eesp", "csc", "active_shift", "fe")
MENUS = tuple(BLOCKS[kind].over() for kind in KINDS)

MOBILE = Space(
    name="mobile",
    stem=Stem(width=16, stride=2),
    stem_width=(16, 24, 32),
    stages=(
        StageSpace(width=(16, 24), depth=(1,), stride=1, blocks=MENUS),
        StageSpace(width=(24, 32, 48), depth=(1, 2, 3, 4), stride=2, blocks=MENUS),
        StageSpace(width=(32, 48, 64, 80), depth=(1, 2, 3, 4), stride=2, blocks=MENUS),
        StageSpace(width=(64, 96, 128, 160), depth=(2, 3, 4, 5, 6), stride=2, blocks=MENUS),
        StageSpace(width=(96, 128, 160, 192), depth=(1, 2, 3, 4), stride=1, blocks=MENUS),
        StageSpace(width=(128, 192, 256, 320), depth=(1, 2, 3, 4), stride=2, blocks=MENUS),
    ),
    head=Head(),
    head_width=(0, 640, 1024, 1280),
)
SPACES.register("mobile")(MOBILE)
