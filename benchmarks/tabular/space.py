"""The space of the table: 294 architectures for images of 20 pixels."""

from __future__ import annotations

from search_spaces.arch import Task
from search_spaces.block import BLOCKS, Menu
from search_spaces.heads import Head
from search_spaces.space import Space, StageSpace
from search_spaces.stems import Stem

TASK = Task(classes=10, shape=(1, 20, 20))


def _menu(kind: str, **choices: tuple[int, ...]) -> Menu:
    """Return the menu of a block whose knobs are at their defaults, but for `choices`."""
    block = BLOCKS[kind]
    defaults = {name: (getattr(block(), name),) for name in block.knobs()}
    return block.over(**(defaults | choices))


OTHERS = (
    _menu("shufflev2"),
    _menu("eesp", branches=(2,), dilation=(2,)),
    _menu("csc", expand=(2,)),
    _menu("active_shift", expand=(2,)),
    _menu("fe", units=(2,), expand=(2,)),
)
FIRST = (_menu("mbconv", expand=(1, 4)), *OTHERS)
SECOND = (_menu("mbconv", expand=(4,)), *OTHERS)
SPACE = Space(
    name="tabular",
    stem=Stem(width=16, stride=2),
    stem_width=(16,),
    stages=(
        StageSpace(width=(24,), depth=(1,), stride=1, blocks=FIRST),
        StageSpace(width=(64,), depth=(1, 2), stride=2, blocks=SECOND),
    ),
    head=Head(),
    head_width=(0,),
)
