"""FE-Net at its published widths.

Source: Chen et al. 2019, arXiv:1903.05285; layers from the authors' SparseShiftLayer.
Departures: the counting of expansions, and the width of the last convolution; each network has
them in words.
"""

from __future__ import annotations

from ..arch import Arch, Stage
from ..blocks.fe import FE
from ..heads import Head
from ..networks import NETWORKS, Figure, Published
from ..stems import Stem

STAGES = (  # width over the stem's, units, expand, stride; one unit is a plain bottleneck
    (1, 1, 4, 1),
    (2, 1, 5, 2),
    (4, 3, 6, 2),
    (8, 4, 6, 2),
    (8, 4, 6, 1),
    (16, 4, 6, 2),
    (16, 3, 6, 1),
)
CODE = "hikvision-research/SparseShiftLayer"
INPUT = (
    "Expansions are relative to a unit's input, as published, and not to its output, as in the "
    "released code, which has {}M MACs and other accuracies."
)
HEAD = (
    " The last convolution's width is the released log's; the paper's is not known; "
    "1480 to 1515 would give the published counts."
)
SHIFTS = (
    " Without the shifts our count is 5,987,790, which cut off is the published one: that it "
    "leaves them out is our inference, nobody says so."
)


def fenet(base: int, last: int) -> Arch:
    """Return an FE-Net whose widths are multiples of `base`, with `last` features."""
    stages = (
        Stage(base * times, stride, (FE(units=units, expand=expand),))
        for times, units, expand, stride in STAGES
    )
    return Arch(Stem(width=base, act="none"), tuple(stages), Head(width=last, act="relu"))


NETWORKS.register("fenet-1.0")(
    Published(
        fenet(16, 1380),
        "Chen et al. 2019, arXiv:1903.05285",
        params=Figure(3.7e6, "code"),
        macs=Figure(301e6, "code"),
        top1=Figure(72.9, "Liu et al. 2024"),
        code=CODE,
        departures=INPUT.format(410) + HEAD,
    )
)
NETWORKS.register("fenet-1.375")(
    Published(
        fenet(22, 1932),
        "Chen et al. 2019, arXiv:1903.05285",
        params=Figure(5.9e6, "code"),
        macs=Figure(563e6, "paper"),
        top1=Figure(75.0, "paper"),
        code=CODE,
        departures=INPUT.format(773) + SHIFTS,
    )
)
