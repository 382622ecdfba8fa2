"""A model file beside the network it was made from: the same images, in either runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

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
_RUNS = 30


@dataclass(frozen=True)
class Agreement:
    """How the scores of a file in its own runtime agree with those of PyTorch.

    Attributes:
        images: on which they were compared.
        max_abs_error: the largest difference of two scores.
        limit: what it may be at most.
        top1_agreement: share of the images with the same best class.
        latency_ms: median time of one image in the file's runtime, one thread.
        latency_low_ms: lower end of its 95 % bootstrap interval.
        latency_high_ms: upper end.
    """

    images: int
    max_abs_error: float
    limit: float
    top1_agreement: float
    latency_ms: float
    latency_low_ms: float
    latency_high_ms: float

    @property
    def holds(self) -> bool:
        """Whether the difference is within the limit; not a number is not."""
        return self.max_abs_error <= self.limit


def agreement(run: Runner, model: Model, images: Tensor) -> Agreement:
    """Compare `run` with the network of `model` on all `images` and on one, and time it."""
    network = Normalised(model.network, model.mean, model.std)
    with torch_threads(1), torch.inference_mode():
        with evaluating(network):
            wanted = network(images)
        found = run(images)
        single = run(images[:1])
        low, median, high = latency(run, images[:1])
    errors = torch.cat((found - wanted, single - wanted[:1])).abs()
    return Agreement(
        images=len(images),
        max_abs_error=float(errors.max()),
        limit=TOLERANCE * max(1.0, float(wanted.abs().max())),
        top1_agreement=float((found.argmax(1) == wanted.argmax(1)).float().mean()),
        latency_ms=median,
        latency_low_ms=low,
        latency_high_ms=high,
    )


def latency(run: Runner, image: Tensor) -> tuple[float, float, float]:
    """Return the median milliseconds of `run` on `image`, between the ends of its interval."""
    times = []
    for _ in range(_RUNS // 5 + _RUNS):  # the first fifth warms up
        start = perf_counter()
        run(image)
        times.append(1e3 * (perf_counter() - start))
    low, median, high = interval(times[-_RUNS:])
    return low, median, high


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
