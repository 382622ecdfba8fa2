"""ShiftNet A, B and C.

Source: Wu et al. 2017, arXiv:1711.08141. No code of these networks was released:
their layers come from the survey of Lang & Xia 2020 and a third party's reimplementation, and the
counts that these give are those quoted by Liu et al. 2024 (C: by Chen et al. 2018, of a network for
faces). Departures: kernels and expansions of C are A's; initial weights and training, of which
nothing was found, are those of all our networks, see docs/networks.md.
"""

from __future__ import annotations

from ..arch import Arch, Stage
from ..blocks.csc import CSC
from ..heads import Head
from ..networks import NETWORKS, Published, quoted
from ..stems import Stem

GROUPS = ((5, 4, 4), (5, 4, 3), (3, 3, 2), (3, 2, 1))  # kernel, expand of the first unit, of others
STEM = "Whether the stem has a norm is not known; here it has one."
FIGURES = {  # variant: width of the stem, units, params, macs, top-1, top-5
    "a": (32, (5, 6, 7, 3), (4.1e6, 1.4e9, 70.1, 89.7)),
    "b": (16, (5, 6, 7, 3), (1.1e6, 371e6, 61.2, 83.6)),
    "c": (16, (1, 4, 4, 3), (0.78e6, None, None, None)),
}
DEPARTURES = {
    "a": STEM,
    "b": f"{STEM} It is halved with the rest, or the first concatenation would have no room.",
    "c": f"{STEM} Kernels and expansions are not known; here they are A's, which misses the "
    "published count, itself that of a network for faces.",
}


def shiftnet(stem: int, units: tuple[int, ...]) -> Arch:
    """Return a ShiftNet whose stages have 2, 4, 8 and 16 times the width of its stem."""
    stages = (
        Stage(stem << i, 2, (CSC(kernel, 1, first), *(CSC(kernel, 1, rest),) * (n - 1)))
        for i, (n, (kernel, first, rest)) in enumerate(zip(units, GROUPS, strict=True), start=1)
    )
    return Arch(Stem(width=stem, kernel=7, act="none"), tuple(stages), Head(dropout=0.0))


for _variant, (_stem, _units, _figures) in FIGURES.items():
    NETWORKS.register(f"shiftnet-{_variant}")(
        Published(
            shiftnet(_stem, _units),
            "Wu et al. 2017, arXiv:1711.08141",
            *quoted("Chen et al. 2018" if _variant == "c" else "Liu et al. 2024", *_figures),
            departures=DEPARTURES[_variant],
        )
    )
