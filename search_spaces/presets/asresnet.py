"""AS-ResNet for ImageNet and for CIFAR.

Source: Jeon & Kim 2018, arXiv:1806.07370; layers and figures from the networks released in the
authors' Active-Shift. Departures: initial weights (released: Kaiming over the fan-in) and training
(released: that for CIFAR, of ImageNet's only the 90 epochs) are those of all our networks, see
docs/networks.md. Shifts begin and learn as in the released networks.
"""

from __future__ import annotations

from ..arch import Arch, Stage
from ..blocks.active_shift import ActiveShiftBlock
from ..heads import Head
from ..networks import CIFAR10, NETWORKS, Published, quoted
from ..stems import Stem

SOURCE = "Jeon & Kim 2018, arXiv:1806.07370"
STAGES = ((1, 1, 1), (1, 3, 2), (2, 4, 2), (4, 6, 2), (8, 3, 2))  # width, units, stride
CIFAR_STAGES = ((1, 3, 1), (2, 3, 2), (4, 3, 2))
FIGURES = {  # base width: params, no macs, top-1, top-5
    32: (0.9e6, None, 64.1, 85.4),
    50: (1.96e6, None, 69.9, 89.3),
    68: (3.42e6, None, 72.2, 90.7),
}
CIFAR = ((16, 1), (16, 3), (16, 6), (16, 9), (46, 1), (88, 1))  # base width, expansion


def asresnet(
    base: int, stages: tuple[tuple[int, int, int], ...] = STAGES, stride: int = 2, expand: int = 1
) -> Arch:
    """Return an AS-ResNet whose widths are multiples of `base`."""
    unit = ActiveShiftBlock(expand=expand)
    stem = Stem(width=base, stride=stride, act="none", norm=False)
    body = (Stage(base * times, s, (unit,) * units) for times, units, s in stages)
    return Arch(stem, tuple(body), Head(dropout=0.0))


for _base, _figures in FIGURES.items():
    NETWORKS.register(f"asresnet-w{_base}")(
        Published(asresnet(_base), SOURCE, *quoted("code", *_figures), code="jyh2986/Active-Shift")
    )
for _base, _expand in CIFAR:
    NETWORKS.register(f"asresnet-{_base}x{_expand}")(
        Published(asresnet(_base, CIFAR_STAGES, 1, _expand), SOURCE, task=CIFAR10)
    )
