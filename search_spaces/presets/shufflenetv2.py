"""ShuffleNetV2 at its published widths, in the authors' layout and in torchvision's.

Source: Ma et al. 2018, arXiv:1807.11164, Table 5; authors' figures from megvii-model's
ShuffleNet-Series, torchvision's from its weights' metadata. The authors' layout gives the
published counts: the side branch of a strided unit makes as many channels as it reads, the
classifier has no bias, and the widest network has dropout. Departures: the released layout shuffles
channels before a unit, not after it; initial weights (released: deviation 0.01 in the stem, then
one over a filter's channels) and training are those of all our networks, see docs/networks.md.
"""

from __future__ import annotations

from ..arch import Arch, Stage
from ..blocks.shufflev2 import ShuffleV2
from ..heads import Head
from ..networks import NETWORKS, Published, quoted
from ..stems import Stem

SOURCE = "Ma et al. 2018, arXiv:1807.11164"
UNITS = (4, 8, 4)
WIDTHS = {  # factor: the stages', the last convolution's
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}
FIGURES = {  # factor: params, macs, top-1, top-5
    0.5: (1.4e6, 41e6, 61.1, 82.6),
    1.0: (2.3e6, 146e6, 69.4, 88.9),
    1.5: (3.5e6, 299e6, 72.6, 90.6),
    2.0: (7.4e6, 591e6, 75.0, 92.4),
}
TORCHVISION = {
    0.5: (1_366_792, 40e6, 60.552, 81.746),
    1.0: (2_278_604, 145e6, 69.362, 88.316),
    1.5: (3_503_624, 296e6, 72.996, 91.086),
    2.0: (7_393_996, 583e6, 76.230, 93.006),
}


def shufflenetv2(factor: float, torchvision: bool = False) -> Arch:
    """Return ShuffleNetV2 of the published `factor`, one of `WIDTHS`."""
    *widths, last = WIDTHS[factor]
    unit = ShuffleV2(layout="equal" if torchvision else "published")
    stages = (Stage(width, 2, (unit,) * units) for width, units in zip(widths, UNITS, strict=True))
    dropout = 0.2 if factor == 2.0 and not torchvision else 0.0
    head = Head(width=last, act="relu", dropout=dropout, bias=torchvision)
    return Arch(Stem(width=24, act="relu", pool=True), tuple(stages), head)


for _factor in WIDTHS:
    NETWORKS.register(f"shufflenetv2-{_factor}")(
        Published(
            shufflenetv2(_factor),
            SOURCE,
            *quoted("code", *FIGURES[_factor]),
            code="megvii-model/ShuffleNet-Series, ShuffleNetV2",
        )
    )
    NETWORKS.register(f"shufflenetv2-{_factor}-torchvision")(
        Published(
            shufflenetv2(_factor, torchvision=True),
            SOURCE,
            *quoted("torchvision", *TORCHVISION[_factor]),
        )
    )
