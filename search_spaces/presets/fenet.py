"""FE-Net at its published widths.

Source: Chen et al. 2019, arXiv:1903.05285; layers from the authors' SparseShiftLayer.
Departures: the counting of expansions, the width of the last convolution, how shifts begin and what
draws them to rest, which each network has in words; gradients of shifts take a true floor, where
the released code cuts off negative coordinates, which changes border pixels only; an odd map is
pooled to half its side rounded up, where the released pooling leaves out the last row, but at 224
pixels none is odd; initial weights (released: PyTorch's own) and training are those of all our
networks, see docs/networks.md.
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
OFFSETS = (
    " Offsets begin as a grouped 3x3 shift, evidently what was meant, and an L1 penalty draws them "
    "to rest, as in the paper; in the released code they begin as a ramp and decay like weights."
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
        departures=INPUT.format(410) + HEAD + OFFSETS,
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
        departures=INPUT.format(773) + SHIFTS + OFFSETS,
    )
)
