"""ESPNetV2 at its published widths.

Source: Mehta et al. 2018, arXiv:1811.11431; layers and figures from the authors'
ESPNetv2 and EdgeNets. Departures: parameters that the released model allocates and never uses
are left out; initial weights (released: a classifier of deviation 0.001, grouped convolutions for
the fan-out of all groups) and training are those of all our networks, see docs/networks.md.
"""

from __future__ import annotations

from ..arch import Arch, Stage
from ..blocks.eesp import EESP
from ..heads import Head
from ..networks import NETWORKS, Published, quoted
from ..stems import Stem

STAGES = (  # width over that of level 1, largest dilation of the strided unit, of the others, units
    (2, 4, 4, 1),
    (4, 4, 4, 4),
    (8, 4, 3, 8),
    (16, 3, 2, 4),
)
WIDTHS = {0.5: 16, 1.0: 32, 1.25: 40, 1.5: 48, 2.0: 64}  # of level 1, before the cap
FIGURES = {  # factor: params, macs, top-1, top-5
    0.5: (1.24e6, 28.38e6, 57.7, 79.85),
    1.0: (1.67e6, 85.72e6, 66.1, 86.54),
    1.25: (1.96e6, 123.4e6, 67.9, 87.82),
    1.5: (2.31e6, 168.6e6, 69.2, 88.71),
    2.0: (3.49e6, 284.81e6, 72.1, 90.39),
}
UNUSED = (
    "Without {:,} parameters that the released model never uses; the published MACs leave out the "
    "classifier."
)


def espnetv2(factor: float) -> Arch:
    """Return ESPNetV2 of the published `factor`, one of `WIDTHS`."""
    base = WIDTHS[factor]
    stages = []
    for times, first, rest, units in STAGES:
        strided = EESP(dilation=first, image=times < STAGES[-1][0])  # the last map sees no image
        blocks = (strided, *(EESP(dilation=rest),) * (units - 1))
        stages.append(Stage(base * times, 2, blocks))
    head = Head(width=max(1024, 20 * base), groups=4, depthwise=True, act="prelu")
    return Arch(Stem(width=min(32, base), act="prelu"), tuple(stages), head)


def unused(factor: float) -> int:
    """Return how many parameters the released model has and never uses.

    They are the slopes of the strided pyramids, whose activation comes after the merge, and the
    image branch of the last strided unit, which gets no image.
    """
    widths = [min(32, WIDTHS[factor]), *(WIDTHS[factor] * times for times, *_ in STAGES)]
    slopes = widths[-1] - widths[0]
    return slopes + (9 * 3 * 3 + 2 * 3 + 3) + (3 + 2) * widths[-1]


for _factor, _figures in FIGURES.items():
    NETWORKS.register(f"espnetv2-{_factor}")(
        Published(
            espnetv2(_factor),
            "Mehta et al. 2018, arXiv:1811.11431",
            *quoted("code", *_figures),
            code="sacmehta/ESPNetv2",
            departures=UNUSED.format(unused(_factor)),
        )
    )
