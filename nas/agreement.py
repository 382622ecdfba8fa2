"""A model file beside the network it was made from: the same images, in either runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from evaluators.data import DataSpec, load
from evaluators.onnx_graph import Normalised, evaluating
from evaluators.pairs import interval
from evaluators.target import torch_threads

if TYPE_CHECKING:
    from evaluators.data import Images
    from search_spaces.arch import Task

    from .exporter import Model

Runner = Callable[[Tensor], Tensor]  # (B, C, H, W) from 0 to 1 -> (B, classes)

COMPARED = 32  # images on which a file must agree with the network
TOLERANCE = 1e-4  # float32 sums in another order differ by less: see docs/export.md
_RUNS, _WARM_UP = 30, 6
_SETTLING_MS = 2.0
WIDE = 0.1  # of a time, that its interval may have on a quiet machine
NOISY = f"The machine was busy: the interval is wider than {WIDE:.0%} of the time."


@dataclass(frozen=True)
class Limit:
    """How far a format's scores may be from the network's.

    Attributes:
        error: the largest difference of two scores, in units of the largest score, or of 1 if none
            is above it; None is no limit, for formats that round.
        top1: least share of the images with the same best class.
    """

    error: float | None = TOLERANCE
    top1: float = 0.0


_EXACT = Limit()


@dataclass(frozen=True)
class Agreement:
    """How the scores of a file in its own runtime agree with those of PyTorch.

    Attributes:
        images: on which they were compared.
        max_abs_error: the largest difference of two scores.
        limit: what it may be at most; None is no limit.
        top1_agreement: share of the images with the same best class.
        top1_limit: what it must be at least.
        latency_ms: median time of one image in the file's runtime, one thread.
        latency_low_ms: lower end of its 95 % bootstrap interval.
        latency_high_ms: upper end.
    """

    images: int
    max_abs_error: float
    limit: float | None
    top1_agreement: float
    top1_limit: float
    latency_ms: float
    latency_low_ms: float
    latency_high_ms: float

    @property
    def fault(self) -> str:
        """Return what is over a limit, or nothing; a score that is no number is over any."""
        most = self.max_abs_error if self.limit is None else self.limit
        if not isfinite(self.max_abs_error) or self.max_abs_error > most:
            by = f"its scores differ from the network's by {self.max_abs_error:.2g}"
            return by if self.limit is None else f"{by}, more than {most:.2g}"
        if self.top1_agreement < self.top1_limit:
            return (
                f"its best class is the network's on {self.top1_agreement:.0%} of {self.images} "
                f"images, fewer than {self.top1_limit:.0%}"
            )
        return ""


def agreement(run: Runner, model: Model, images: Tensor, limit: Limit = _EXACT) -> Agreement:
    """Compare `run` with the network of `model` on all `images` and on one, and time it."""
    network = Normalised(model.network, model.mean, model.std)
    with torch_threads(1), torch.inference_mode():
        with evaluating(network):
            wanted = network(images)
        found = run(images)
        single = run(images[:1])
        low, median, high = latency(run, images[:1])
    errors = torch.cat((found - wanted, single - wanted[:1])).abs()
    unit = max(1.0, float(wanted.abs().max()))
    return Agreement(
        images=len(images),
        max_abs_error=float(errors.max()),
        limit=None if limit.error is None else limit.error * unit,
        top1_agreement=float((found.argmax(1) == wanted.argmax(1)).float().mean()),
        top1_limit=limit.top1,
        latency_ms=median,
        latency_low_ms=low,
        latency_high_ms=high,
    )


def noisy(figures: Mapping[str, Any]) -> bool:
    """Return whether the interval of a latency is too wide for the figure to mean much."""
    width = figures["latency_high_ms"] - figures["latency_low_ms"]
    return bool(width > WIDE * figures["latency_ms"])


def latency(run: Runner, image: Tensor) -> tuple[float, float, float]:
    """Return the median milliseconds of `run` on `image`, between the ends of its interval."""
    for _ in range(_WARM_UP):
        run(image)
    low, median, high = interval([_ms(run, image) for _ in range(_RUNS)])
    return low, median, high


def in_turn(run: Runner, other: Runner, image: Tensor) -> tuple[float, float, float]:
    """Return the median ratio of their times on `image`, between the ends of its interval.

    They run one after the other, so that both see the same machine; each for a while before it is
    timed, for the other leaves the caches cold, which one run of a small network is too short for.
    """
    for _ in range(_WARM_UP):
        run(image), other(image)
    low, median, high = interval(
        [_settled_ms(run, image) / _settled_ms(other, image) for _ in range(_RUNS)]
    )
    return low, median, high


def _settled_ms(run: Runner, image: Tensor) -> float:
    begun = perf_counter()
    run(image)
    while 1e3 * (perf_counter() - begun) < _SETTLING_MS:
        run(image)
    return _ms(run, image)


def _ms(run: Runner, image: Tensor) -> float:
    start = perf_counter()
    run(image)
    return 1e3 * (perf_counter() - start)


def real_images(task: Task, images: Images | None = None) -> Tensor:
    """Return test images from 0 to 1 in the shape of `task`: (COMPARED, C, H, W).

    Args:
        task: whose shape they are brought to.
        images: the data set; by default the bundled one, whose channel is repeated.
    """
    pixels = (images or load(DataSpec())).test.images[:COMPARED].float() / 255
    channels, *size = task.shape
    if list(pixels.shape[2:]) != size:
        pixels = F.interpolate(pixels, size=size, mode="bilinear", align_corners=False)
    return pixels[:, torch.arange(channels) % pixels.shape[1]].contiguous()
