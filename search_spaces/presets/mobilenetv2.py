"""MobileNetV2 at its published widths.

Source: Sandler et al. 2018, arXiv:1801.04381, Table 2; figures from the authors' README in
tensorflow/models. Departures: initial weights (released: all of deviation 0.09), norms' constants
and training, which are those of all our networks; docs/networks.md has the released ones.
"""

from __future__ import annotations

from ..arch import Arch, Stage
from ..blocks.mbconv import MBConv
from ..heads import Head
from ..networks import NETWORKS, Published, quoted
from ..stems import Stem

STAGES = (  # expand, width, units, stride
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
FIGURES = {  # factor: params, macs, top-1, top-5
    0.35: (1.66e6, 59e6, 60.3, 82.9),
    0.5: (1.95e6, 97e6, 65.4, 86.4),
    0.75: (2.61e6, 209e6, 69.8, 89.6),
    1.0: (3.47e6, 300e6, 71.8, 91.0),
    1.3: (5.34e6, 509e6, 74.4, 92.1),
    1.4: (6.06e6, 582e6, 75.0, 92.5),
}
COUNT = "The published count leaves out the norms' scales and offsets."
PAPER = {
    1.0: " The paper has 3.4M, 300M and 72.0 %.",
    1.4: " The paper has 6.9M, 585M and 74.7 %; its own table does not give these counts.",
}


def mobilenetv2(factor: float) -> Arch:
    """Return MobileNetV2 with widths times `factor`, the last one at least 1280."""
    stages = (
        Stage(_rounded(width * factor), stride, (MBConv(expand=expand),) * units)
        for expand, width, units, stride in STAGES
    )
    head = Head(width=_rounded(1280 * max(1.0, factor)))
    return Arch(Stem(width=_rounded(32 * factor)), tuple(stages), head)


def _rounded(width: float) -> int:
    """Return the nearest multiple of 8, or the next if that loses a tenth of the width."""
    nearest = max(8, int(width + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * width else nearest + 8


for _factor, _figures in FIGURES.items():
    NETWORKS.register(f"mobilenetv2-{_factor}")(
        Published(
            mobilenetv2(_factor),
            "Sandler et al. 2018, arXiv:1801.04381",
            *quoted("code", *_figures),
            code="tensorflow/models, research/slim/nets/mobilenet",
            departures=COUNT + PAPER.get(_factor, ""),
        )
    )
